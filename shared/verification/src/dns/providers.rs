//! DNS providers, recognized by the names of their name servers.
//!
//! Sources: each provider's own instructions for delegating a domain to it, as of 2026; Route 53's form is in
//! <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/GetInfoAboutHostedZone.html>, Cloudflare's in
//! <https://developers.cloudflare.com/dns/nameservers/>, Azure's in
//! <https://learn.microsoft.com/azure/dns/dns-delegate-domain-azure-dns>. Where two providers use the same names, both are
//! named: Squarespace took over Google Domains with its name servers, and Netlify's are at NS1.

use hickory_proto::rr::Name;

use super::delegation::text;

/// The end of a name server's name, and its provider.
const PROVIDERS: &[(&str, &str)] = &[
    ("ns.cloudflare.com", "Cloudflare"),
    ("foundationdns.com", "Cloudflare"),
    ("foundationdns.net", "Cloudflare"),
    ("foundationdns.org", "Cloudflare"),
    ("domaincontrol.com", "GoDaddy"),
    ("registrar-servers.com", "Namecheap"),
    ("namecheaphosting.com", "Namecheap"),
    ("googledomains.com", "Google Cloud DNS or Squarespace"),
    ("azure-dns.com", "Azure DNS"),
    ("azure-dns.net", "Azure DNS"),
    ("azure-dns.org", "Azure DNS"),
    ("azure-dns.info", "Azure DNS"),
    ("digitalocean.com", "DigitalOcean"),
    ("linode.com", "Akamai (Linode)"),
    ("akam.net", "Akamai"),
    ("akamaiedge.net", "Akamai"),
    ("vultr.com", "Vultr"),
    ("hetzner.com", "Hetzner"),
    ("hetzner.de", "Hetzner"),
    ("your-server.de", "Hetzner"),
    ("second-ns.com", "Hetzner"),
    ("second-ns.de", "Hetzner"),
    ("first-ns.de", "Hetzner"),
    ("ovh.net", "OVHcloud"),
    ("ovh.ca", "OVHcloud"),
    ("anycast.me", "OVHcloud"),
    ("gandi.net", "Gandi"),
    ("ui-dns.com", "IONOS"),
    ("ui-dns.org", "IONOS"),
    ("ui-dns.de", "IONOS"),
    ("ui-dns.biz", "IONOS"),
    ("dnsimple.com", "DNSimple"),
    ("dnsimple-edge.net", "DNSimple"),
    ("dnsimple-edge.org", "DNSimple"),
    ("dnsmadeeasy.com", "DNS Made Easy"),
    ("constellix.com", "Constellix"),
    ("constellix.net", "Constellix"),
    ("nsone.net", "NS1 or Netlify"),
    ("dynect.net", "Oracle Dyn"),
    ("ultradns.com", "UltraDNS"),
    ("ultradns.net", "UltraDNS"),
    ("ultradns.org", "UltraDNS"),
    ("ultradns.biz", "UltraDNS"),
    ("ultradns.info", "UltraDNS"),
    ("cloudns.net", "ClouDNS"),
    ("cloudns.uk", "ClouDNS"),
    ("he.net", "Hurricane Electric"),
    ("afraid.org", "FreeDNS"),
    ("bunny.net", "bunny.net"),
    ("vercel-dns.com", "Vercel"),
    ("wixdns.net", "Wix"),
    ("squarespacedns.com", "Squarespace"),
    ("wordpress.com", "WordPress.com"),
    ("myshopify.com", "Shopify"),
    ("name.com", "Name.com"),
    ("porkbun.com", "Porkbun"),
    ("dynadot.com", "Dynadot"),
    ("hover.com", "Hover"),
    ("name-services.com", "Enom"),
    ("worldnic.com", "Network Solutions"),
    ("register.com", "Register.com"),
    ("bluehost.com", "Bluehost"),
    ("hostgator.com", "HostGator"),
    ("dreamhost.com", "DreamHost"),
    ("siteground.net", "SiteGround"),
    ("sgvps.net", "SiteGround"),
    ("dns-parking.com", "Hostinger"),
    ("one.com", "one.com"),
    ("simply.com", "Simply.com"),
    ("strato.de", "STRATO"),
    ("rzone.de", "STRATO"),
    ("inwx.de", "INWX"),
    ("inwx.eu", "INWX"),
    ("desec.io", "deSEC"),
    ("desec.org", "deSEC"),
    ("infomaniak.ch", "Infomaniak"),
    ("infomaniak.com", "Infomaniak"),
    ("hostpoint.ch", "Hostpoint"),
    ("transip.nl", "TransIP"),
    ("transip.net", "TransIP"),
    ("transip.eu", "TransIP"),
    ("loopia.se", "Loopia"),
    ("domeneshop.no", "Domeneshop"),
    ("123-reg.co.uk", "123 Reg"),
    ("livedns.co.uk", "Fasthosts"),
    ("alidns.com", "Alibaba Cloud"),
    ("hichina.com", "Alibaba Cloud"),
    ("dnspod.net", "DNSPod"),
    ("scaleway.com", "Scaleway"),
    ("yandexcloud.net", "Yandex Cloud"),
    ("easydns.com", "easyDNS"),
    ("zoneedit.com", "Zoneedit"),
];

/// The provider of the first name server that is known.
pub(super) fn provider<'a>(servers: impl IntoIterator<Item = &'a Name>) -> Option<&'static str> {
    servers.into_iter().find_map(|server| {
        let server = text(server);
        // Route 53 uses names like ns-2048.awsdns-64.co.uk in four top-level domains.
        if server.split('.').any(|label| label.starts_with("awsdns-")) {
            return Some("Route 53");
        }
        let known = PROVIDERS.iter().find(|(suffix, _)| is_under(&server, suffix));
        known.map(|(_, provider)| *provider)
    })
}

/// Whether `name` is `suffix` or below it.
pub(super) fn is_under(name: &str, suffix: &str) -> bool {
    let rest = name.strip_suffix(suffix);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_recognized_by_their_servers() {
        let of = |server: &str| provider(&[Name::from_ascii(server).unwrap()]);
        assert_eq!(of("Ada.NS.cloudflare.com."), Some("Cloudflare"));
        assert_eq!(of("ns-2048.awsdns-64.co.uk."), Some("Route 53"));
        assert_eq!(of("ns01.domaincontrol.com."), Some("GoDaddy"));
        assert_eq!(
            of("ns-cloud-d1.googledomains.com."),
            Some("Google Cloud DNS or Squarespace")
        );
        assert_eq!(of("dns1.p01.nsone.net."), Some("NS1 or Netlify"));
        assert_eq!(of("ns1.notdomaincontrol.com."), None);
        assert_eq!(of("ns1.acme.com."), None);
    }
}
