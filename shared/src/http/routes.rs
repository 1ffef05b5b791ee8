//! The routes of the functions, and their part of the OpenAPI document.

use axum::{Extension, Router, handler::Handler, routing::on};
use utoipa::Path;
use utoipa_axum::{
    PathItemExt,
    router::{OpenApiRouter, UtoipaMethodRouter},
};

use crate::app::App;

#[doc(hidden)]
pub use utoipa_axum;

/// What the routes of a function become: a router, or a router with a document. A binary that builds only routers does not contain the
/// schemas of the document.
pub trait Routes: Default {
    /// Adds a handler. Called by [`routes!`](crate::routes).
    #[doc(hidden)]
    fn operation<P: Path, H: Handler<T, App>, T: 'static>(
        self,
        handler: H,
        document: impl FnOnce() -> UtoipaMethodRouter<App>,
    ) -> Self;

    /// The routes of both.
    fn merge(self, other: Self) -> Self;

    /// Gives each handler this value as an [`Extension`].
    fn with_extension(self, value: impl Clone + Send + Sync + 'static) -> Self;
}

impl Routes for Router<App> {
    fn operation<P: Path, H: Handler<T, App>, T: 'static>(
        self,
        handler: H,
        _: impl FnOnce() -> UtoipaMethodRouter<App>,
    ) -> Self {
        let path = P::path();
        P::methods().iter().fold(self, |router, method| {
            router.route(&path, on(method.to_method_filter(), handler.clone()))
        })
    }

    fn merge(self, other: Self) -> Self {
        self.merge(other)
    }

    fn with_extension(self, value: impl Clone + Send + Sync + 'static) -> Self {
        self.layer(Extension(value))
    }
}

impl Routes for OpenApiRouter<App> {
    fn operation<P: Path, H: Handler<T, App>, T: 'static>(
        self,
        _: H,
        document: impl FnOnce() -> UtoipaMethodRouter<App>,
    ) -> Self {
        self.routes(document())
    }

    fn merge(self, other: Self) -> Self {
        self.merge(other)
    }

    fn with_extension(self, value: impl Clone + Send + Sync + 'static) -> Self {
        self.layer(Extension(value))
    }
}

/// The [`Routes`] of handlers with the attribute `utoipa::path`.
#[macro_export]
macro_rules! routes {
    ($($handler:ident),+ $(,)?) => {{
        use $crate::http::{Routes, routes::utoipa_axum};
        let routes = Default::default();
        $(
            let routes = Routes::operation::<utoipa_axum::paste!([<__path_ $handler>]), _, _>(
                routes,
                $handler,
                || utoipa_axum::routes!($handler),
            );
        )+
        routes
    }};
}
