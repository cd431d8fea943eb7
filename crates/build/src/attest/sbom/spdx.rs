//! Packages as an SPDX 2.3 document.

use super::Package;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// `name`: what makes the document's own address unlike others'.
pub(super) fn document(packages: &BTreeSet<Package>, name: &str, created: &str) -> Value {
    let all: Vec<Value> = packages.iter().enumerate().map(|(number, found)| package(number, found)).collect();
    let described = (0..packages.len()).map(|number| {
        json!({
            "spdxElementId": "SPDXRef-DOCUMENT",
            "relatedSpdxElement": id(number),
            "relationshipType": "DESCRIBES",
        })
    });
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "sbom",
        "documentNamespace": format!("https://spdx.org/spdxdocs/dhow-{name}"),
        "creationInfo": {
            "creators": [concat!("Tool: dhow-", env!("CARGO_PKG_VERSION"))],
            "created": created,
        },
        "packages": all,
        "relationships": described.collect::<Vec<_>>(),
    })
}

fn id(number: usize) -> String {
    format!("SPDXRef-Package-{number}")
}

fn package(number: usize, found: &Package) -> Value {
    let mut package = json!({
        "SPDXID": id(number),
        "name": found.name,
        "versionInfo": found.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "sourceInfo": format!("acquired package info from {} in /{}", found.kind, found.place),
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": found.url,
        }],
    });
    // What makers write is not always an expression that SPDX knows.
    if let Some(license) = &found.license {
        package["licenseComments"] = license.clone().into();
    }
    package
}
