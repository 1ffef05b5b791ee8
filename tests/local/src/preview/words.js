// The words of the portal in each language. A boolean setting of the portal configuration has a word in each.

export const WORDS = {
  en: {
    logIn: "Log in", logOut: "Log out", token: "Token", again: "Try again", content: "The portal shows this page here.",
    supportUrl: "Support", termsUrl: "Terms", privacyUrl: "Privacy", imprintUrl: "Imprint",
    settings: {
      featureBackups: "Backups", featureDatabases: "Databases", featureDomains: "Domains", featureFileEditor: "Files",
      featureLogs: "Logs", featureMonitoring: "Monitoring", featureOdooShell: "Odoo shell",
      featureTerminal: "Terminal", teamManagementEnabled: "Team",
    },
    summary: "Infrastructure: summary", full: "Infrastructure",
    problem: "You cannot use this portal now", other: "The portal does not respond. Try again later.",
    "no-portal": "There is no portal at this address.", "invalid-token": "The token is not valid. Enter another one.",
    "wrong-portal": "Your account belongs to another portal. Log in with another account.",
    "client-suspended": "The access of your organization is suspended. Ask support for the reason.",
    "expired-token": "The token has expired. Enter a new one.",
  },
  de: {
    logIn: "Anmelden", logOut: "Abmelden", token: "Token", again: "Erneut versuchen",
    content: "Hier zeigt das Portal diese Seite.",
    supportUrl: "Hilfe", termsUrl: "AGB", privacyUrl: "Datenschutz", imprintUrl: "Impressum",
    settings: {
      featureBackups: "Sicherungen", featureDatabases: "Datenbanken", featureDomains: "Domains", featureFileEditor: "Dateien",
      featureLogs: "Protokolle", featureMonitoring: "Überwachung", featureOdooShell: "Odoo-Shell",
      featureTerminal: "Terminal", teamManagementEnabled: "Team",
    },
    summary: "Infrastruktur: Übersicht", full: "Infrastruktur",
    problem: "Sie können dieses Portal zurzeit nicht nutzen",
    other: "Das Portal antwortet nicht. Versuchen Sie es später erneut.",
    "no-portal": "Unter dieser Adresse gibt es kein Portal.", "invalid-token": "Das Token ist ungültig. Geben Sie ein anderes ein.",
    "wrong-portal": "Ihr Konto gehört zu einem anderen Portal. Melden Sie sich mit einem anderen Konto an.",
    "client-suspended": "Der Zugang Ihrer Organisation ist gesperrt. Fragen Sie die Hilfe nach dem Grund.",
    "expired-token": "Das Token ist abgelaufen. Geben Sie ein neues ein.",
  },
};
