//! A client portal to look at, at `/preview?host=…`: the reference for front-end developers. It is a part of `cargo local` alone.

use axum::{
    Router,
    http::{HeaderName, header},
    routing::get,
};

/// The policy that README.md recommends. The API's origin is the page's own here.
const POLICY: &str = "default-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' https:; \
    font-src 'self' https:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The page and its files.
pub fn router() -> Router {
    let file = |media: &'static str, text: &'static str| {
        let headers: [(HeaderName, &str); 2] = [
            (header::CONTENT_TYPE, media),
            (header::CONTENT_SECURITY_POLICY, POLICY),
        ];
        get(move || async move { (headers, text) })
    };
    Router::new()
        .route(
            "/preview",
            file("text/html; charset=utf-8", include_str!("index.html")),
        )
        .route(
            "/preview/preview.css",
            file("text/css; charset=utf-8", include_str!("preview.css")),
        )
        .route(
            "/preview/preview.js",
            file("text/javascript; charset=utf-8", include_str!("preview.js")),
        )
        .route(
            "/preview/words.js",
            file("text/javascript; charset=utf-8", include_str!("words.js")),
        )
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::{
        body::Body,
        http::{Request, Response, StatusCode},
    };
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use crate::{openapi, system::System};

    fn request(path: &str) -> Request<Body> {
        Request::get(path).body(Body::empty()).unwrap()
    }

    async fn text(response: Response<Body>) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn cargo_local_serves_the_page_under_the_policy_that_the_readme_recommends() {
        let readme = include_str!("../../../../README.md");
        let policy = readme
            .split("```")
            .map(|block| block.trim().replace('\n', " "))
            .find(|block| block.starts_with("default-src "))
            .unwrap();
        let system = System::start().await;
        for (path, media) in [
            ("/preview?host=acme.portal.localhost", "text/html; charset=utf-8"),
            ("/preview/preview.css", "text/css; charset=utf-8"),
            ("/preview/preview.js", "text/javascript; charset=utf-8"),
            ("/preview/words.js", "text/javascript; charset=utf-8"),
        ] {
            let response = system.send(request(path)).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(response.headers()["content-type"], media);
            assert_eq!(
                response.headers()["content-security-policy"],
                policy.replace(" https://api.example.com", "")
            );
        }
    }

    #[tokio::test]
    async fn the_page_has_no_inline_script_style_or_handler_and_no_other_files() {
        let system = System::start().await;
        let page = text(system.send(request("/preview")).await).await;
        let tags: Vec<_> = page
            .split('<')
            .skip(1)
            .map(|tag| tag.split('>').next().unwrap())
            .collect();
        for tag in &tags {
            let mut words = tag.split_whitespace();
            let name = words.next().unwrap();
            assert!(
                name != "style" && (name != "script" || tag.contains(" src=")),
                "<{tag}>"
            );
            assert!(
                !words.any(|word| word.starts_with("style=") || word.starts_with("on")),
                "<{tag}>"
            );
        }
        let values = tags.iter().flat_map(|tag| tag.split('"').skip(1).step_by(2));
        let files: Vec<_> = values.filter(|value| value.contains('/')).collect();
        assert_eq!(files, ["/preview/preview.css", "/preview/preview.js"]);
        let script = text(system.send(request("/preview/preview.js")).await).await;
        assert!(
            !script.contains("innerHTML"),
            "what the API returns is text, never HTML"
        );
    }

    #[tokio::test]
    async fn no_function_serves_the_page() {
        let system = System::start().await;
        let network = verification::Network::new(&system.app.config).unwrap();
        let functions = shared::http::service(openapi::routes(network.clone()), system.app.clone());
        for path in [
            "/preview",
            "/preview/preview.css",
            "/preview/preview.js",
            "/preview/words.js",
        ] {
            let response: Result<_, Infallible> = functions.clone().oneshot(request(path)).await;
            assert_eq!(response.unwrap().status(), StatusCode::NOT_FOUND, "{path}");
        }
        for document in openapi::documents(network) {
            assert!(!document.to_string().contains("/preview"));
        }
    }
}
