//! JSON Web Tokens: which key, is the signature right. The only file that names `jsonwebtoken`.
//!
//! The algorithm belongs to the key, never to the token: the header's word is only compared. Whatever else a
//! header brings (`jwk`, `jku`, `x5u`) is not looked at, and `crit` is refused.

use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use parlor_protocol::Time;
use parlor_protocol::limits::TOKEN_BYTES_MAX;

use super::claims::{Claims, Expected, NewToken};
use super::config::{Algorithm, AuthConfig, KeyMaterial, TokenKey};
use super::{Error, IssueError, Verified};

/// Shortest HMAC secret, in bytes.
const SECRET_BYTES_MIN: usize = 32;

/// Shortest RSA modulus, in bytes: 2048 bits.
const RSA_BYTES_MIN: usize = 256;

/// Longest tolerated difference of clocks, in seconds.
const LEEWAY_MAX_S: u64 = 30;

/// All keys, and what their tokens must say.
#[derive(Debug)]
pub(super) struct Tokens {
    keys: Vec<Key>,
    expected: Expected,
}

struct Key {
    kid: Option<String>,
    algorithm: jsonwebtoken::Algorithm,
    verifying: DecodingKey,
    signing: Option<EncodingKey>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Why a token is no proof: for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("there is no token")]
    Missing,
    #[error("it is longer than 8192 bytes")]
    TooLong,
    #[error("it is not three parts of base64url")]
    Form,
    #[error("its header asks for something that is not supported")]
    Header,
    #[error("no key has its `kid`")]
    UnknownKey,
    #[error("signature or claims are wrong: {0}")]
    Wrong(String),
    #[error("`exp`, `nbf` or `iat` is out of range")]
    Time,
    #[error("the issuer is another")]
    Issuer,
    #[error("the audience is another")]
    Audience,
    #[error("the claim `{0}` is unusable")]
    Claim(&'static str),
    #[error("it was made for another purpose, user or channel")]
    Purpose,
    #[error("it has expired")]
    Expired,
    #[error("it was revoked")]
    Revoked,
}

impl Tokens {
    pub(super) fn new(config: AuthConfig) -> Result<Self, Error> {
        if config.leeway.as_secs() > LEEWAY_MAX_S {
            return Err(Error::Leeway);
        }
        let keys = config
            .token_keys
            .iter()
            .map(Key::new)
            .collect::<Result<Vec<_>, _>>()?;
        for (place, key) in keys.iter().enumerate() {
            match &key.kid {
                None if keys.len() > 1 => return Err(Error::KidMissing),
                Some(kid)
                    if keys[..place]
                        .iter()
                        .any(|other| other.kid.as_ref() == Some(kid)) =>
                {
                    return Err(Error::DuplicateKid(kid.clone()));
                }
                _ => {}
            }
        }
        let AuthConfig {
            issuers,
            audiences,
            leeway,
            ..
        } = config;
        Ok(Self {
            keys,
            expected: Expected {
                issuers,
                audiences,
                leeway,
            },
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What a token says, if a key of ours signed it and it is good now.
    pub(super) fn verify(&self, token: &str, now: Time) -> Result<Verified, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        check_form(token)?;
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Header)?;
        check_header(&header)?;
        let key = self.key(header.kid.as_deref()).ok_or(Refusal::UnknownKey)?;
        let mut validation = Validation::new(key.algorithm);
        // Claims are checked below, against the time that is passed in: here only the signature counts.
        validation.validate_exp = false;
        validation.validate_aud = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.verifying, &validation)
            .map_err(|error| Refusal::Wrong(error.to_string()))?
            .claims;
        claims.check(&self.expected, now)?;
        claims.into_verified(self.expected.leeway)
    }

    /// Signs with the first key that can. A token of this user is good when issued from `good_from` on.
    pub(super) fn sign(
        &self,
        token: &NewToken,
        now: Time,
        good_from: u64,
    ) -> Result<String, IssueError> {
        let signer = self
            .keys
            .iter()
            .find_map(|key| key.signing.as_ref().map(|signing| (key, signing)));
        let (key, signing) = signer.ok_or(IssueError::NoSigningKey)?;
        let mut claims = Claims::of(token, now)?;
        claims.issue_from(good_from)?;
        claims.iss = self.expected.issuers.first().cloned();
        claims.aud = self
            .expected
            .audiences
            .first()
            .cloned()
            .map(super::OneOrMany::One);
        let header = Header {
            kid: key.kid.clone(),
            ..Header::new(key.algorithm)
        };
        let signed = jsonwebtoken::encode(&header, &claims, signing)
            .map_err(|error| IssueError::Signing(error.to_string()))?;
        if signed.len() > TOKEN_BYTES_MAX {
            Err(IssueError::TooLarge)
        } else {
            Ok(signed)
        }
    }

    /// A token without `kid` means the only key; one with it means that key, or the only one if that has no name.
    fn key(&self, kid: Option<&str>) -> Option<&Key> {
        match (kid, self.keys.as_slice()) {
            (None, [only]) => Some(only),
            (Some(_), [only]) if only.kid.is_none() => Some(only),
            (Some(kid), keys) => keys.iter().find(|key| key.kid.as_deref() == Some(kid)),
            (None, _) => None,
        }
    }
}

/// Three parts, none empty, of base64url without padding: what more lenient decoders might let pass ends here.
fn check_form(token: &str) -> Result<(), Refusal> {
    let is_base64url = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let parts = token.split('.');
    if parts.clone().count() == 3 && parts.into_iter().all(is_base64url) {
        Ok(())
    } else {
        Err(Refusal::Form)
    }
}

fn check_header(header: &Header) -> Result<(), Refusal> {
    let is_jwt = header
        .typ
        .as_deref()
        .is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"));
    let is_extended = header.crit.is_some() || header.enc.is_some() || header.zip.is_some();
    let is_unencoded = header.extras.inner().contains_key("b64");
    if is_jwt && !is_extended && !is_unencoded {
        Ok(())
    } else {
        Err(Refusal::Header)
    }
}

impl Key {
    fn new(config: &TokenKey) -> Result<Self, Error> {
        let name = || {
            config
                .kid
                .clone()
                .unwrap_or_else(|| config.algorithm.as_str().to_owned())
        };
        let bad = |reason: &str| Error::BadKey {
            name: name(),
            reason: reason.to_owned(),
        };
        let library = |error: jsonwebtoken::errors::Error| bad(&error.to_string());
        let verifying = match &config.material {
            KeyMaterial::Secret(secret) if config.algorithm.is_hmac() => {
                DecodingKey::from_secret(secret.expose().as_bytes())
            }
            KeyMaterial::Secret(_) => {
                return Err(bad("a secret is for HS256, HS384 and HS512 only"));
            }
            KeyMaterial::Pem(pem) => from_pem(config.algorithm, pem.as_bytes())
                .ok_or_else(|| bad("a PEM file is for RS256, ES256 and EdDSA only"))?
                .map_err(library)?,
            KeyMaterial::Jwk(jwk) => {
                from_jwk(config.algorithm, jwk.expose()).map_err(|reason| bad(&reason))?
            }
        };
        check_strength(config.algorithm, &verifying).map_err(|reason| match reason {
            Weak::Secret => Error::ShortSecret(name()),
            Weak::Key(reason) => bad(reason),
        })?;
        let signing = signing_key(config, &verifying).map_err(library)?;
        Ok(Self {
            kid: config.kid.clone(),
            algorithm: config.algorithm.into(),
            verifying,
            signing,
        })
    }
}

fn from_pem(algorithm: Algorithm, pem: &[u8]) -> Option<jsonwebtoken::errors::Result<DecodingKey>> {
    match algorithm {
        Algorithm::Rs256 => Some(DecodingKey::from_rsa_pem(pem)),
        Algorithm::Es256 => Some(DecodingKey::from_ec_pem(pem)),
        Algorithm::EdDsa => Some(DecodingKey::from_ed_pem(pem)),
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => None,
    }
}

fn from_jwk(algorithm: Algorithm, text: &str) -> Result<DecodingKey, String> {
    let jwk: Jwk =
        serde_json::from_str(text).map_err(|error| format!("not a JSON Web Key: {error}"))?;
    let fits = match &jwk.algorithm {
        AlgorithmParameters::OctetKey(_) => algorithm.is_hmac(),
        AlgorithmParameters::RSA(_) => algorithm == Algorithm::Rs256,
        AlgorithmParameters::EllipticCurve(_) => algorithm == Algorithm::Es256,
        AlgorithmParameters::OctetKeyPair(_) => algorithm == Algorithm::EdDsa,
        _ => false,
    };
    if !fits {
        return Err(format!(
            "the JSON Web Key is not one for {}",
            algorithm.as_str()
        ));
    }
    DecodingKey::from_jwk(&jwk).map_err(|error| error.to_string())
}

enum Weak {
    Secret,
    Key(&'static str),
}

fn check_strength(algorithm: Algorithm, key: &DecodingKey) -> Result<(), Weak> {
    use jsonwebtoken::DecodingKeyKind;
    let bytes = match key.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => bytes.len(),
        DecodingKeyKind::RsaModulusExponent { n, .. } => n.len(),
    };
    match algorithm {
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 if bytes < SECRET_BYTES_MIN => {
            Err(Weak::Secret)
        }
        Algorithm::Rs256 if bytes < RSA_BYTES_MIN => {
            Err(Weak::Key("an RSA key needs at least 2048 bits"))
        }
        Algorithm::Es256 if bytes != 65 => Err(Weak::Key("ES256 needs a key on the curve P-256")),
        Algorithm::EdDsa if bytes != 32 => Err(Weak::Key("EdDSA needs an Ed25519 key")),
        _ => Ok(()),
    }
}

fn signing_key(
    config: &TokenKey,
    verifying: &DecodingKey,
) -> jsonwebtoken::errors::Result<Option<EncodingKey>> {
    if config.algorithm.is_hmac() {
        return verifying
            .try_get_as_bytes()
            .map(|secret| Some(EncodingKey::from_secret(secret)));
    }
    let Some(pem) = &config.private_pem else {
        return Ok(None);
    };
    let pem = pem.expose().as_bytes();
    match config.algorithm {
        Algorithm::Rs256 => EncodingKey::from_rsa_pem(pem).map(Some),
        Algorithm::Es256 => EncodingKey::from_ec_pem(pem).map(Some),
        Algorithm::EdDsa => EncodingKey::from_ed_pem(pem).map(Some),
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => Ok(None),
    }
}

impl Algorithm {
    fn is_hmac(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }
}

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Hs256 => Self::HS256,
            Algorithm::Hs384 => Self::HS384,
            Algorithm::Hs512 => Self::HS512,
            Algorithm::Rs256 => Self::RS256,
            Algorithm::Es256 => Self::ES256,
            Algorithm::EdDsa => Self::EdDSA,
        }
    }
}

/// Signs any two JSON texts: for tests that forge.
#[cfg(test)]
pub(super) fn sign_raw(key: &TokenKey, header: &str, claims: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let signing = Key::new(key)
        .expect("a good key")
        .signing
        .expect("a key that signs");
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &signing, key.algorithm.into())
        .expect("it signs");
    format!("{message}.{signature}")
}
