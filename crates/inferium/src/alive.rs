//! What a service manager wants to know: that the service is ready, and still alive.

use sd_notify::NotifyState;

/// Says that the service is ready, and from then on that it is alive, as often as systemd asks for it. Nothing happens
/// where no service manager asks. The signs of life come from the runtime that does the work: if that hangs, they end.
pub(crate) fn ready() {
    // Who has no manager to tell goes on as well.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval(patience / 3);
    tokio::spawn(async move {
        loop {
            beat.tick().await;
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        }
    });
}

/// Says that the service ends because it was asked to.
pub(crate) fn stopping() {
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
}
