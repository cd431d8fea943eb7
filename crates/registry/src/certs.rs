//! A registry's folder of certificates, as Docker's certs.d: `*.crt` and `NAME.cert` with `NAME.key`.

use crate::Error;
use crate::tls::{Identity, Tls};
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of a certificate file at most.
const LARGEST: u64 = 4 << 20;

/// Adds what a folder holds. Of several client certificates the first by name is used.
pub(crate) fn add(folder: &Path, tls: &mut Tls) -> Result<(), Error> {
    for path in files(folder)? {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => tls.roots.push(read(&path)?),
            Some("cert") => {
                let key = path.with_extension("key");
                if !key.is_file() {
                    return Err(Error::Invalid(format!(
                        "missing key {} for client certificate {}. CA certificates must use the extension .crt",
                        key.display(),
                        path.display()
                    )));
                }
                let identity = Identity { chain: read(&path)?, key: read(&key)? };
                tls.identity.get_or_insert(identity);
            }
            Some("key") if !path.with_extension("cert").is_file() => {
                return Err(Error::Invalid(format!(
                    "missing client certificate {} for key {}",
                    path.with_extension("cert").display(),
                    path.display()
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads a certificate or a key.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let fail = || Error::io(format!("read {}", path.display()));
    let found = fs::metadata(path).map_err(fail())?;
    if !found.is_file() || found.len() > LARGEST {
        return Err(Error::Invalid(format!("{} is no certificate file", path.display())));
    }
    fs::read(path).map_err(fail())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let fail = || Error::io(format!("read {}", folder.display()));
    let entries = fs::read_dir(folder).map_err(fail())?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>().map_err(fail())?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_certificate_and_its_key_come_together() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("ca.crt"), "ca").unwrap();
        fs::write(at("b.cert"), "chain").unwrap();
        let error = add(folder.path(), &mut Tls::default()).unwrap_err().to_string();
        assert!(error.starts_with("missing key ") && error.contains("b.key"), "{error}");

        fs::write(at("b.key"), "key").unwrap();
        let mut tls = Tls::default();
        add(folder.path(), &mut tls).unwrap();
        assert_eq!(tls.roots, [b"ca".to_vec()]);
        assert_eq!(tls.identity.map(|identity| identity.key), Some(b"key".to_vec()));

        fs::remove_file(at("b.cert")).unwrap();
        let error = add(folder.path(), &mut Tls::default()).unwrap_err().to_string();
        assert!(error.starts_with("missing client certificate "), "{error}");
    }
}
