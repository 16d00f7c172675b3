//! SLIP-0010 for ed25519: keys from a seed, down a path of hardened steps.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha512;
use zeroize::Zeroizing;

/// Steps are hardened by their top bit; ed25519 knows no others.
const HARDENED: u32 = 1 << 31;

/// 32 secret bytes and the chain code for what is below them.
pub(crate) struct Extended {
    pub(crate) key: Zeroizing<[u8; 32]>,
    pub(crate) chain: Zeroizing<[u8; 32]>,
}

/// The key at `path` below the seed's master key; each step is hardened.
pub(crate) fn derive(seed: &[u8], path: &[u32]) -> Extended {
    let master = halves(b"ed25519 seed", &[seed]);
    path.iter()
        .fold(master, |parent, step| halves(&*parent.chain, &[&[0], &*parent.key, &(step | HARDENED).to_be_bytes()]))
}

/// HMAC-SHA512 as key and chain code.
fn halves(key: &[u8], parts: &[&[u8]]) -> Extended {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("any length");
    for part in parts {
        mac.update(part);
    }
    let digest = Zeroizing::new(<[u8; 64]>::from(mac.finalize().into_bytes()));
    let (left, right) = digest.split_at(32);
    let mut out = Extended { key: Zeroizing::new([0; 32]), chain: Zeroizing::new([0; 32]) };
    out.key.copy_from_slice(left);
    out.chain.copy_from_slice(right);
    out
}
