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

/// The page on which a provider's customers edit their DNS records, or the list of zones from which they reach it. Each address is in
/// the provider's own documentation or in a setup guide of another product (Microsoft 365, Auth0, Posh-ACME, external-dns,
/// ddns-updater, Forward Email), as of November 2026. `{zone}` is the name of the zone. A provider whose page has no stable address, or two providers with the same
/// name servers, have none.
const PAGES: &[(&str, &str)] = &[
    (
        "123 Reg",
        "https://www.123-reg.co.uk/secure/cpanel/domain/overview",
    ),
    ("Akamai", "https://control.akamai.com/"),
    ("Akamai (Linode)", "https://cloud.linode.com/domains"),
    ("Alibaba Cloud", "https://dns.console.aliyun.com/#/dns/domainList"),
    (
        "Azure DNS",
        "https://portal.azure.com/#view/HubsExtension/BrowseResource/resourceType/Microsoft.Network%2FdnsZones",
    ),
    (
        "Bluehost",
        "https://www.bluehost.com/my-account/domain-center-update/list",
    ),
    (
        "Cloudflare",
        "https://dash.cloudflare.com/?to=/:account/:zone/dns/records",
    ),
    ("DNS Made Easy", "https://cp.dnsmadeeasy.com/"),
    ("DNSPod", "https://console.dnspod.cn/dns/list"),
    ("DNSimple", "https://dnsimple.com/dashboard"),
    (
        "DigitalOcean",
        "https://cloud.digitalocean.com/networking/domains",
    ),
    (
        "DreamHost",
        "https://panel.dreamhost.com/index.cgi?tree=domain.manage",
    ),
    ("Fasthosts", "https://admin.fasthosts.co.uk/DomainNames/"),
    ("FreeDNS", "https://freedns.afraid.org/subdomain/"),
    ("Gandi", "https://admin.gandi.net/domain/"),
    ("GoDaddy", "https://dcc.godaddy.com/control/portfolio"),
    ("Hover", "https://www.hover.com/control_panel/domain/{zone}/dns"),
    (
        "Namecheap",
        "https://ap.www.namecheap.com/Domains/DomainControlPanel/{zone}/advancedns",
    ),
    ("Hetzner", "https://console.hetzner.com/projects"),
    ("HostGator", "https://portal.hostgator.com/"),
    ("Hurricane Electric", "https://dns.he.net/"),
    ("INWX", "https://www.inwx.de/en/nameserver2#tab=ns"),
    ("IONOS", "https://my.ionos.com/domains"),
    ("Infomaniak", "https://manager.infomaniak.com/"),
    ("Loopia", "https://customerzone.loopia.com/"),
    ("Name.com", "https://www.name.com/account/domain"),
    (
        "Network Solutions",
        "https://www.networksolutions.com/my-account/",
    ),
    ("OVHcloud", "https://www.ovh.com/manager/web/#/zone"),
    ("Porkbun", "https://porkbun.com/account/domainsSpeedy"),
    (
        "Route 53",
        "https://console.aws.amazon.com/route53/v2/hostedzones",
    ),
    ("STRATO", "https://www.strato.de/apps/CustomerService"),
    ("Scaleway", "https://console.scaleway.com/domains/external"),
    (
        "Shopify",
        "https://help.shopify.com/en/manual/domains/managing-domains/edit-dns-settings",
    ),
    ("Simply.com", "https://www.simply.com/controlpanel/"),
    ("Squarespace", "https://account.squarespace.com/domains"),
    ("TransIP", "https://www.transip.eu/cp/domain-hosting/"),
    ("UltraDNS", "https://portal.ultradns.com/"),
    ("Vercel", "https://vercel.com/d?to=%2F%5Bteam%5D%2F%7E%2Fdomains"),
    ("Vultr", "https://my.vultr.com/dns/"),
    (
        "Wix",
        "https://support.wix.com/en/article/managing-dns-records-in-your-wix-account",
    ),
    ("WordPress.com", "https://wordpress.com/domains/manage"),
    ("Yandex Cloud", "https://console.yandex.cloud/link/dns"),
    ("Zoneedit", "https://cp.zoneedit.com/manage/domains/"),
    ("deSEC", "https://desec.io/domains"),
    ("easyDNS", "https://cp.easydns.com/manage/domains/"),
];

/// The page of a provider's DNS records, for this zone. `None` if the page needs a zone and it is not known.
pub fn page(provider: &str, zone: Option<&str>) -> Option<String> {
    let (_, url) = PAGES.iter().find(|(name, _)| *name == provider)?;
    match url.contains("{zone}") {
        true => Some(url.replace("{zone}", zone?)),
        false => Some((*url).to_owned()),
    }
}

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
    fn every_page_is_that_of_a_provider_and_a_secure_url() {
        for (name, url) in PAGES {
            let is_known = *name == "Route 53" || PROVIDERS.iter().any(|(_, provider)| provider == name);
            let shown = page(name, Some("acme.com")).unwrap();
            assert!(
                is_known && shown.starts_with("https://") && !shown.contains(['{', '"', ' ']),
                "{name}"
            );
            assert_eq!(
                PAGES.iter().filter(|(other, _)| other == name).count(),
                1,
                "{name}"
            );
            assert_eq!(url.contains("{zone}"), shown.contains("acme.com"), "{name}");
        }
        assert_eq!(page("Namecheap", None), None);
        assert_eq!(page("NS1 or Netlify", Some("acme.com")), None);
    }

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
