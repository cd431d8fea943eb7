//! Names of containers: what is one, and random ones such as `keen_noether`.

/// Whether `name` may name a container: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, so two characters at least.
///
/// Such a name can be one component of a path: it is never `.` or `..` and holds no slash.
pub fn validate(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() >= 2
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// A name of an adjective and a scientist that is not `taken`; with a number behind when several in a row are.
pub fn random_name(taken: impl Fn(&str) -> bool) -> String {
    for attempt in 0..64 {
        let number = random();
        let mut name = format!("{}_{}", pick(&ADJECTIVES, number), pick(&SCIENTISTS, number >> 16));
        if attempt >= 8 {
            name = format!("{name}{}", (number >> 32) % 10_u64.pow(attempt / 8));
        }
        if !taken(&name) {
            return name;
        }
    }
    loop {
        let name = format!("container_{:016x}", random());
        if !taken(&name) {
            return name;
        }
    }
}

fn pick<'a>(words: &[&'a str], number: u64) -> &'a str {
    let length = u64::try_from(words.len()).unwrap_or(1);
    usize::try_from((number & 0xffff) % length).map_or(words[0], |index| words[index])
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    loop {
        // Eight bytes come whole (getrandom(2)) unless a signal is first.
        match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
            Ok(8) => return u64::from_ne_bytes(bytes),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => panic!("the kernel gives no random bytes: {e}"),
        }
    }
}

/// Friendly ones only.
#[rustfmt::skip]
const ADJECTIVES: [&str; 110] = [
    "able", "agile", "amber", "apt", "avid", "balmy", "bold", "brave", "breezy", "bright", "brisk", "calm", "candid", "careful",
    "cheerful", "clear", "clever", "cosy", "crisp", "curious", "daring", "dapper", "deft", "dreamy", "eager", "earnest", "easy",
    "elated", "fair", "fearless", "festive", "fine", "fond", "frank", "free", "fresh", "friendly", "gallant", "gentle", "glad",
    "golden", "graceful", "grand", "handy", "hardy", "hearty", "helpful", "honest", "hopeful", "humble", "jaunty", "jolly",
    "jovial", "joyful", "keen", "kind", "lively", "loyal", "lucid", "lucky", "mellow", "merry", "mild", "mindful", "modest",
    "neat", "nimble", "noble", "patient", "peppy", "placid", "plucky", "polite", "prompt", "proud", "quick", "quiet", "radiant",
    "ready", "robust", "rosy", "serene", "sharp", "shiny", "silent", "sincere", "smooth", "snug", "sober", "spry", "steady",
    "stellar", "stoic", "sturdy", "sunny", "swift", "tender", "thrifty", "tidy", "tranquil", "trusty", "upbeat", "valiant",
    "vivid", "warm", "wise", "witty", "worthy", "zealous", "zesty",
];

/// Of all times and fields.
#[rustfmt::skip]
const SCIENTISTS: [&str; 261] = [
    "abel", "agnesi", "airy", "alhazen", "alvarez", "ampere", "anning", "apgar", "archimedes", "aristarchus", "aryabhata",
    "avogadro", "babbage", "bacon", "banach", "bardeen", "bassi", "bayes", "becquerel", "bell", "bernal", "bernoulli",
    "berzelius", "bessel", "bhabha", "bhaskara", "biot", "blackwell", "bohr", "boltzmann", "bolyai", "boole", "born", "bose",
    "boyle", "bragg", "brahe", "brahmagupta", "broglie", "brouwer", "brown", "buchner", "burnell", "cannon", "cantor", "carnot",
    "carson", "cauchy", "cavendish", "cayley", "celsius", "chadwick", "chandrasekhar", "charpak", "chatelet", "chern", "church",
    "clausius", "cori", "coriolis", "coulomb", "crick", "curie", "cuvier", "dalton", "darwin", "davy", "dedekind", "descartes",
    "dirac", "doppler", "drake", "dyson", "eddington", "edison", "ehrlich", "einstein", "elion", "eratosthenes", "euclid",
    "euler", "faraday", "fermat", "fermi", "feynman", "fibonacci", "fischer", "fizeau", "fleming", "foucault", "fourier",
    "franklin", "fraunhofer", "fresnel", "galen", "galilei", "galois", "galvani", "gamow", "gauss", "geiger", "germain",
    "gibbs", "godel", "goeppert", "goodall", "gram", "grassmann", "haber", "hahn", "haldane", "halley", "hamilton", "harvey",
    "heisenberg", "helmholtz", "henry", "heron", "hertz", "hess", "hilbert", "hippocrates", "hodgkin", "hooke", "hopper",
    "hubble", "humboldt", "huygens", "hypatia", "jacobi", "jenner", "johnson", "joliot", "joule", "kapitsa", "kekule", "kelvin",
    "kepler", "khayyam", "khwarizmi", "kirchhoff", "koch", "kolmogorov", "kovalevskaya", "kuiper", "lagrange", "lamarr",
    "lambert", "landau", "langmuir", "laplace", "lavoisier", "lawrence", "leavitt", "leeuwenhoek", "legendre", "leibniz",
    "lemaitre", "lie", "linnaeus", "lorentz", "lovelace", "lyell", "mach", "malpighi", "marconi", "markov", "maxwell", "mayer",
    "mcclintock", "meitner", "mendel", "mendeleev", "michelson", "millikan", "minkowski", "mirzakhani", "mobius", "monge",
    "morley", "napier", "nash", "nernst", "neumann", "newton", "nightingale", "nobel", "noether", "oersted", "ohm",
    "oppenheimer", "ostwald", "pascal", "pasteur", "pauli", "pauling", "pavlov", "payne", "peano", "penrose", "perrin",
    "planck", "poincare", "poisson", "priestley", "ptolemy", "pythagoras", "rabi", "raman", "ramanujan", "ramsay", "rayleigh",
    "ride", "riemann", "ritchie", "roentgen", "rubin", "rutherford", "sabin", "sagan", "salam", "sanger", "scheele",
    "schrodinger", "seaborg", "semmelweis", "shannon", "siemens", "snell", "soddy", "somerville", "stokes", "swan", "tesla",
    "thales", "thomson", "torricelli", "turing", "tyndall", "urey", "vavilov", "venn", "vesalius", "viete", "villani", "volta",
    "wallace", "watt", "weber", "wegener", "weierstrass", "wien", "wiles", "wilkins", "wu", "yalow", "yang", "young", "yukawa",
    "zeeman", "zworykin",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_word_makes_a_valid_name_and_stands_once() {
        for words in [&ADJECTIVES[..], &SCIENTISTS[..]] {
            assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len());
            assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase())));
        }
    }

    #[test]
    fn a_name_is_found_while_nearly_all_are_taken() {
        let mut taken: HashSet<String> = HashSet::new();
        for adjective in ADJECTIVES {
            taken.extend(SCIENTISTS.iter().map(|scientist| format!("{adjective}_{scientist}")));
        }
        let name = random_name(|name| taken.contains(name));
        assert!(validate(&name) && !taken.contains(&name));
        let name = random_name(|name| !name.starts_with("container_"));
        assert!(validate(&name));
    }

    #[test]
    fn names_that_are_paths_or_empty_are_refused() {
        for name in ["", "a", ".", "..", "../x", "a/b", "-a", "_a", ".a", "a b", "a\0", "a\n", "é1"] {
            assert!(!validate(name), "{name:?}");
        }
        for name in ["ab", "A0", "web-1.prod_x", "0-"] {
            assert!(validate(name), "{name}");
        }
    }
}
