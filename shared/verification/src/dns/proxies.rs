//! Proxies and CDNs that answer with their own addresses, so that DNS does not show the server behind them.
//!
//! Sources, as of 2026: <https://www.cloudflare.com/ips/>, <https://api.fastly.com/public-ip-list>,
//! <https://ip-ranges.amazonaws.com/ip-ranges.json> (service `CLOUDFRONT`, its large networks),
//! <https://www.microsoft.com/download/details.aspx?id=56519> (`AzureFrontDoor.Frontend`, its networks from /24 up),
//! Imperva's <https://my.imperva.com/api/integration/v1/ips>, Sucuri's <https://docs.sucuri.net/website-firewall/>;
//! Akamai publishes none. The names are the `CNAME` targets that each provider gives its customers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::Name;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{delegation::text, providers::is_under};

const NAMES: &[&str] = &[
    // Cloudflare
    "cloudflare.net",
    // Amazon CloudFront
    "cloudfront.net",
    // Azure Front Door and CDN
    "azurefd.net",
    "azureedge.net",
    "t-msedge.net",
    // Akamai
    "akamai.net",
    "akamaiedge.net",
    "akamaized.net",
    "akamaihd.net",
    "edgekey.net",
    "edgesuite.net",
    // Fastly
    "fastly.net",
    "fastlylb.net",
    // Imperva
    "incapdns.net",
    "impervadns.net",
    // Sucuri
    "sucuri.net",
    // bunny.net, CDN77, Gcore, KeyCDN, Edgio
    "b-cdn.net",
    "cdn77.org",
    "gcdn.co",
    "kxcdn.com",
    "edgecastcdn.net",
    // Alibaba Cloud and Tencent Cloud
    "kunlunaq.com",
    "kunluncan.com",
    "cdn.dnsv1.com",
];

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix))
}

#[rustfmt::skip]
const NETWORKS: &[IpNet] = &[
    // Cloudflare
    v4(173, 245, 48, 0, 20), v4(103, 21, 244, 0, 22), v4(103, 22, 200, 0, 22),
    v4(103, 31, 4, 0, 22), v4(141, 101, 64, 0, 18), v4(108, 162, 192, 0, 18),
    v4(190, 93, 240, 0, 20), v4(188, 114, 96, 0, 20), v4(197, 234, 240, 0, 22),
    v4(198, 41, 128, 0, 17), v4(162, 158, 0, 0, 15), v4(104, 16, 0, 0, 13),
    v4(104, 24, 0, 0, 14), v4(172, 64, 0, 0, 13), v4(131, 0, 72, 0, 22),
    // Fastly
    v4(23, 235, 32, 0, 20), v4(43, 249, 72, 0, 22), v4(103, 244, 50, 0, 24),
    v4(103, 245, 222, 0, 23), v4(103, 245, 224, 0, 24), v4(104, 156, 80, 0, 20),
    v4(140, 248, 64, 0, 18), v4(140, 248, 128, 0, 17), v4(146, 75, 0, 0, 17),
    v4(151, 101, 0, 0, 16), v4(157, 52, 64, 0, 18), v4(167, 82, 0, 0, 17),
    v4(167, 82, 128, 0, 20), v4(167, 82, 160, 0, 20), v4(167, 82, 224, 0, 20),
    v4(172, 111, 64, 0, 18), v4(185, 31, 16, 0, 22), v4(199, 27, 72, 0, 21),
    v4(199, 232, 0, 0, 16),
    // Amazon CloudFront
    v4(3, 160, 0, 0, 14), v4(3, 164, 0, 0, 18), v4(3, 164, 64, 0, 18),
    v4(3, 164, 128, 0, 17), v4(3, 165, 0, 0, 16), v4(3, 166, 0, 0, 15),
    v4(3, 168, 0, 0, 14), v4(3, 172, 0, 0, 18), v4(13, 32, 0, 0, 15),
    v4(13, 35, 0, 0, 16), v4(13, 224, 0, 0, 14), v4(13, 249, 0, 0, 16),
    v4(15, 158, 0, 0, 16), v4(18, 64, 0, 0, 14), v4(18, 68, 0, 0, 16),
    v4(18, 154, 0, 0, 15), v4(18, 160, 0, 0, 15), v4(18, 164, 0, 0, 15),
    v4(18, 172, 0, 0, 15), v4(18, 238, 0, 0, 15), v4(18, 244, 0, 0, 15),
    v4(52, 46, 0, 0, 18), v4(52, 84, 0, 0, 15), v4(52, 124, 128, 0, 17),
    v4(52, 222, 128, 0, 17), v4(54, 182, 0, 0, 16), v4(54, 192, 0, 0, 16),
    v4(54, 230, 0, 0, 17), v4(54, 230, 128, 0, 18), v4(54, 230, 200, 0, 21),
    v4(54, 230, 208, 0, 20), v4(54, 230, 224, 0, 19), v4(54, 239, 128, 0, 18),
    v4(54, 239, 192, 0, 19), v4(54, 240, 128, 0, 18), v4(64, 252, 64, 0, 18),
    v4(64, 252, 128, 0, 18), v4(65, 8, 0, 0, 16), v4(65, 9, 0, 0, 17),
    v4(65, 9, 128, 0, 18), v4(70, 132, 0, 0, 18), v4(71, 152, 0, 0, 17),
    v4(99, 84, 0, 0, 16), v4(99, 86, 0, 0, 16), v4(108, 138, 0, 0, 15),
    v4(108, 156, 0, 0, 14), v4(130, 176, 0, 0, 16), v4(143, 204, 0, 0, 16),
    v4(144, 220, 0, 0, 16), v4(204, 246, 164, 0, 22), v4(204, 246, 168, 0, 22),
    v4(204, 246, 172, 0, 23), v4(204, 246, 174, 0, 23), v4(204, 246, 176, 0, 20),
    v4(205, 251, 200, 0, 21), v4(205, 251, 208, 0, 20), v4(205, 251, 249, 0, 24),
    v4(205, 251, 250, 0, 23), v4(205, 251, 252, 0, 23), v4(205, 251, 254, 0, 24),
    v4(216, 137, 32, 0, 19),
    v4(3, 172, 64, 0, 18), v4(3, 173, 0, 0, 17), v4(3, 173, 192, 0, 18),
    v4(3, 174, 0, 0, 15), v4(23, 91, 0, 0, 19), v4(24, 110, 32, 0, 19),
    // Azure Front Door
    v4(13, 105, 221, 0, 24), v4(13, 107, 208, 0, 24), v4(13, 107, 213, 0, 24),
    v4(13, 107, 224, 0, 24), v4(13, 107, 226, 0, 24), v4(13, 107, 231, 0, 24),
    v4(13, 107, 234, 0, 23), v4(13, 107, 237, 0, 24), v4(13, 107, 238, 0, 23),
    v4(13, 107, 246, 0, 24), v4(13, 107, 253, 0, 24), v4(40, 90, 64, 0, 22),
    v4(40, 90, 68, 0, 24), v4(40, 90, 70, 0, 23), v4(104, 212, 67, 0, 24),
    v4(104, 212, 68, 0, 24), v4(150, 171, 22, 0, 23), v4(150, 171, 26, 0, 24),
    v4(150, 171, 84, 0, 22), v4(150, 171, 88, 0, 23), v4(150, 171, 109, 0, 24),
    v4(150, 171, 110, 0, 23), v4(150, 171, 112, 0, 24),
    // Imperva
    v4(45, 60, 0, 0, 16), v4(45, 64, 64, 0, 22), v4(45, 223, 0, 0, 16),
    v4(103, 28, 248, 0, 22), v4(107, 154, 0, 0, 16), v4(131, 125, 128, 0, 17),
    v4(149, 126, 72, 0, 21), v4(185, 11, 124, 0, 22), v4(192, 230, 64, 0, 18),
    v4(198, 143, 32, 0, 19), v4(199, 83, 128, 0, 21),
    // Sucuri
    v4(66, 248, 200, 0, 22), v4(185, 93, 228, 0, 22), v4(192, 88, 134, 0, 23),
    v4(208, 109, 0, 0, 22),
    // Cloudflare
    v6(0x2400, 0xcb00, 0, 32),
    v6(0x2606, 0x4700, 0, 32),
    v6(0x2803, 0xf800, 0, 32),
    v6(0x2405, 0xb500, 0, 32),
    v6(0x2405, 0x8100, 0, 32),
    v6(0x2a06, 0x98c0, 0, 29),
    v6(0x2c0f, 0xf248, 0, 32),
    // Fastly
    v6(0x2a04, 0x4e40, 0, 32),
    v6(0x2a04, 0x4e42, 0, 32),
    // Amazon CloudFront
    v6(0x2600, 0x9000, 0, 28),
    // Azure Front Door
    v6(0x2620, 0x1ec, 0xbdf, 48),
    v6(0x2620, 0x1ec, 0x46, 48),
    // Imperva
    v6(0x2a02, 0xe980, 0, 29),
    // Sucuri
    v6(0x2a02, 0xfe80, 0, 29),
];

pub(super) fn is_proxy_name(name: &Name) -> bool {
    let name = text(name);
    NAMES.iter().any(|suffix| is_under(&name, suffix))
}

pub(super) fn is_proxy_address(address: &IpAddr) -> bool {
    NETWORKS.iter().any(|network| network.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_known_by_name_and_by_address() {
        for name in [
            "portal.acme.com.cdn.cloudflare.net.",
            "d111.CloudFront.net.",
            "acme.azurefd.net.",
        ] {
            assert!(is_proxy_name(&Name::from_ascii(name).unwrap()), "{name}");
        }
        assert!(!is_proxy_name(&Name::from_ascii("mycloudfront.net.").unwrap()));
        for address in [
            "104.16.1.1",
            "2606:4700::1",
            "151.101.1.1",
            "13.32.0.1",
            "2600:9000:2000::1",
        ] {
            assert!(is_proxy_address(&address.parse().unwrap()), "{address}");
        }
        for address in ["192.0.2.1", "8.8.8.8", "2001:db8::1"] {
            assert!(!is_proxy_address(&address.parse().unwrap()), "{address}");
        }
    }
}
