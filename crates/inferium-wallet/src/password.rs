//! Passwords that don't show.

use std::fmt;
use zeroize::Zeroizing;

/// Characters of a new password at least.
pub const PASSWORD_CHARS_MIN: usize = 8;

/// A password too short to protect a new keystore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the password is too short: at least {PASSWORD_CHARS_MIN} characters")]
pub struct WeakPassword;

/// A password; cleared when dropped, never shown.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password as it was given, to try it on a keystore.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Checks that it is fit to protect a new keystore.
    ///
    /// # Errors
    /// [`WeakPassword`].
    pub fn check_strength(&self) -> Result<(), WeakPassword> {
        if self.0.chars().count() < PASSWORD_CHARS_MIN { Err(WeakPassword) } else { Ok(()) }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl PartialEq for Password {
    /// For "type it again": both are the user's, so time tells nothing to anyone.
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}
