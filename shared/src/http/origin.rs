//! The shared secret of a reverse proxy and the API. The API rejects requests without it, so that clients cannot bypass the
//! proxy's rate limits by calling the gateway directly.

use std::{fmt, str::FromStr, sync::Arc};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};

/// The header in which the proxy sends the secret.
const HEADER: &str = "x-origin-secret";

/// `ORIGIN_SECRET`: a secret of at least 32 characters, or two during a rotation, separated by a comma.
#[derive(Clone)]
pub struct OriginSecrets(Arc<[String]>);

impl OriginSecrets {
    fn allow(&self, headers: &HeaderMap) -> bool {
        let sent = headers
            .get(HEADER)
            .map(|value| value.as_bytes())
            .unwrap_or_default();
        let is_equal = |secret: &String| verify_slices_are_equal(secret.as_bytes(), sent).is_ok();
        self.0.iter().any(is_equal)
    }
}

impl FromStr for OriginSecrets {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let secrets: Arc<[_]> = text.split(',').map(str::to_owned).collect();
        let fits = |secret: &String| secret.len() >= 32 && secret.bytes().all(|byte| byte.is_ascii_graphic());
        match secrets.len() <= 2 && secrets.iter().all(fits) {
            true => Ok(Self(secrets)),
            false => {
                Err("must be one or two secrets of at least 32 printable characters, separated by a comma")
            }
        }
    }
}

/// Without the secrets.
impl fmt::Debug for OriginSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OriginSecrets({})", self.0.len())
    }
}

/// Answers `403` without a body, like the gateway, unless the request has the secret.
pub(super) async fn require_secret(secrets: OriginSecrets, request: Request, next: Next) -> Response {
    match secrets.allow(request.headers()) {
        true => next.run(request).await,
        false => StatusCode::FORBIDDEN.into_response(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";

    fn allows(secrets: &str, sent: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        if let Some(sent) = sent {
            headers.insert(HEADER, sent.parse().unwrap());
        }
        secrets.parse::<OriginSecrets>().unwrap().allow(&headers)
    }

    #[test]
    fn a_request_needs_one_of_the_secrets() {
        assert!(allows(OLD, Some(OLD)));
        for sent in [
            None,
            Some(""),
            Some(NEW),
            Some(&OLD[1..]),
            Some(&format!("{OLD}{OLD}")),
        ] {
            assert!(!allows(OLD, sent), "{sent:?}");
        }
        let both = format!("{OLD},{NEW}");
        assert!(allows(&both, Some(OLD)) && allows(&both, Some(NEW)));
        assert!(!allows(&both, Some(&both)));
    }

    #[test]
    fn secrets_are_long_and_not_shown() {
        for text in [
            "",
            "short",
            &format!("{OLD},"),
            &format!("{OLD},{NEW},{OLD}"),
            &format!("{OLD} {OLD}"),
        ] {
            assert!(text.parse::<OriginSecrets>().is_err(), "{text}");
        }
        let secrets: OriginSecrets = OLD.parse().unwrap();
        assert_eq!(format!("{secrets:?}"), "OriginSecrets(1)");
    }
}
