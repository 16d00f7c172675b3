//! The layers, on Linux.

use super::{Network, PASSED, Sandbox, SandboxError};
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, Scope,
};
use rustix::process::{Resource, Rlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The oldest kernel interface that is enough where there is no network: file sizes can't be cut from outside the
/// folder (Linux 6.2).
const ABI_FILES: ABI = ABI::V3;

/// The oldest one that knows ports (Linux 6.7).
const ABI_PORTS: ABI = ABI::V4;

/// The oldest one that keeps signals inside (Linux 6.12).
const ABI_SIGNALS: ABI = ABI::V6;

/// What programs need of the system; what is not there is left out.
const SYSTEM_READ: [&str; 14] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
    "/dev/urandom",
    "/dev/random",
];

/// Devices without memory.
const SYSTEM_WRITE: [&str; 2] = ["/dev/null", "/dev/zero"];

/// What names and certificates are looked up in, for programs with a network.
const NETWORK_READ: [&str; 8] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/nsswitch.conf",
    "/etc/ssl",
    "/etc/pki",
    "/run/systemd/resolve",
];

/// Open files of a process.
const FILES_MAX: u64 = 256;

/// Stack of the first thread, in bytes.
const STACK_BYTES: u64 = 8 << 20;

pub(super) fn confine(sandbox: &Sandbox, program: &Path) -> Result<(), SandboxError> {
    limit(sandbox)?;
    drop_capabilities()?;
    landlock(sandbox, program)?;
    for (filter, action) in [(refused(sandbox)?, libc::EPERM), (missing(), libc::ENOSYS)] {
        seccomp(filter, action)?;
    }
    Ok(())
}

pub(super) fn become_program(sandbox: &Sandbox, program: &Path, arguments: &[OsString]) -> SandboxError {
    let passed = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.to_str()?.strip_prefix(PASSED)?.to_owned();
        Some((OsString::from(name), value))
    });
    let own = [
        ("HOME", sandbox.folder.as_os_str()),
        ("TMPDIR", sandbox.folder.as_os_str()),
        ("PATH", OsStr::new("/usr/local/bin:/usr/bin:/bin")),
        ("LANG", OsStr::new("C.UTF-8")),
    ];
    let own = own.map(|(name, value)| (OsString::from(name), value.to_owned()));
    let variables: BTreeMap<OsString, OsString> = own.into_iter().chain(passed).collect();
    let error = Command::new(program).args(arguments).env_clear().envs(variables).current_dir(&sandbox.folder).exec();
    SandboxError::Start { program: program.to_owned(), reason: error.to_string() }
}

fn layer<E: std::fmt::Display>(layer: &'static str) -> impl Fn(E) -> SandboxError {
    move |error| SandboxError::Layer { layer, reason: error.to_string() }
}

fn limit(sandbox: &Sandbox) -> Result<(), SandboxError> {
    // Address space is left alone: runtimes reserve much more of it than they ever write to, which is what counts here.
    let limits = [
        (Resource::Data, sandbox.memory_bytes),
        (Resource::Cpu, sandbox.cpu_seconds),
        (Resource::Fsize, sandbox.file_bytes),
        (Resource::Nofile, FILES_MAX),
        (Resource::Stack, STACK_BYTES),
        (Resource::Core, 0),
        (Resource::Memlock, 0),
    ];
    for (resource, wanted) in limits {
        let Rlimit { maximum, .. } = rustix::process::getrlimit(resource);
        // A second between the signal that says so and the one that ends whoever does not listen.
        let last = if resource == Resource::Cpu { wanted.saturating_add(1) } else { wanted };
        let least = |wanted: u64| Some(maximum.map_or(wanted, |limit| limit.min(wanted)));
        let limit = Rlimit { current: least(wanted), maximum: least(last) };
        rustix::process::setrlimit(resource, limit).map_err(layer("limits"))?;
    }
    Ok(())
}

/// Programs of root get no capability back, since `no_new_privs` leaves them at most what this process has.
fn drop_capabilities() -> Result<(), SandboxError> {
    let none = rustix::thread::CapabilitySet::empty();
    let sets = rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).map_err(layer("capabilities"))?;
    rustix::thread::set_no_new_privs(true).map_err(layer("no_new_privs"))
}

fn landlock(sandbox: &Sandbox, program: &Path) -> Result<(), SandboxError> {
    let unsupported = |error: landlock::RulesetError| SandboxError::Unsupported(error.to_string());
    // What can't be done without is demanded, all that newer kernels have is taken.
    let (required, wanted) = (AccessFs::from_all(ABI_FILES), AccessFs::from_all(ABI::V7));
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let mut ruleset = ruleset.handle_access(required).map_err(unsupported)?;
    if sandbox.processes {
        ruleset = ruleset.scope(Scope::from_all(ABI_SIGNALS)).map_err(unsupported)?;
    }
    match sandbox.network {
        Network::Any => {}
        Network::Port(_) => ruleset = ruleset.handle_access(AccessNet::from_all(ABI_PORTS)).map_err(unsupported)?,
        Network::None => {
            ruleset = ruleset.set_compatibility(CompatLevel::BestEffort);
            ruleset = ruleset.handle_access(AccessNet::from_all(ABI_PORTS)).map_err(unsupported)?;
        }
    }
    ruleset = ruleset.set_compatibility(CompatLevel::BestEffort).handle_access(wanted).map_err(unsupported)?;
    ruleset = ruleset.scope(Scope::from_all(ABI_SIGNALS)).map_err(unsupported)?;
    let mut ruleset = ruleset.create().map_err(unsupported)?;
    if let Network::Port(port) = sandbox.network {
        ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp)).map_err(unsupported)?;
    }
    ruleset = paths(sandbox, program, ruleset)?;
    ruleset.restrict_self().map_err(unsupported).map(|_| ())
}

fn paths(sandbox: &Sandbox, program: &Path, mut ruleset: RulesetCreated) -> Result<RulesetCreated, SandboxError> {
    let read = AccessFs::from_read(ABI::V7);
    // Nothing of the folder is executed: what a program writes there stays data.
    let write = (AccessFs::from_all(ABI::V7) & !AccessFs::Execute) & !(AccessFs::MakeBlock | AccessFs::MakeChar);
    let mut optional: Vec<(&str, _)> = SYSTEM_READ.map(|path| (path, read)).into();
    optional.extend(SYSTEM_WRITE.map(|path| (path, read | AccessFs::WriteFile)));
    if sandbox.network != Network::None {
        optional.extend(NETWORK_READ.map(|path| (path, read)));
    }
    for (path, access) in optional {
        if let Ok(opened) = PathFd::new(path) {
            ruleset = add(ruleset, opened, Path::new(path), access)?;
        }
    }
    let named = sandbox.read.iter().map(|path| (path.as_path(), read));
    for (path, access) in named.chain([(program, read), (sandbox.folder.as_path(), write)]) {
        let opened = PathFd::new(path)
            .map_err(|error| SandboxError::Path { path: path.to_owned(), reason: error.to_string() })?;
        ruleset = add(ruleset, opened, path, access)?;
    }
    Ok(ruleset)
}

fn add(
    ruleset: RulesetCreated,
    opened: PathFd,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, SandboxError> {
    // Rights that only folders have are no rights of a file.
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI::V7) };
    ruleset.add_rule(PathBeneath::new(opened, access)).map_err(layer("files"))
}

type Rules = BTreeMap<libc::c_long, Vec<SeccompRule>>;

/// Calls that are refused as not permitted.
fn refused(sandbox: &Sandbox) -> Result<Rules, SandboxError> {
    let mut rules: Rules = REFUSED.into_iter().map(|call| (call, Vec::new())).collect();
    #[cfg(target_arch = "x86_64")]
    rules.extend([libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt].map(|call| (call, Vec::new())));
    // Limits are read by it as well: refused if it comes with new ones.
    rules.insert(libc::SYS_prlimit64, vec![rule(&[(2, SeccompCmpOp::Ne, 0)])?]);
    // Memory that no process owns is in nobody's limit.
    let shared = libc::MAP_SHARED.unsigned_abs() | libc::MAP_ANONYMOUS.unsigned_abs();
    let shared = u64::from(shared);
    rules.insert(libc::SYS_mmap, vec![rule(&[(3, SeccompCmpOp::MaskedEq(shared), shared)])?]);
    let socket = match sandbox.network {
        Network::None => Vec::new(),
        // Local sockets lead to services of the host.
        Network::Port(_) | Network::Any => {
            let families = [libc::AF_INET, libc::AF_INET6].map(|family| u64::from(family.unsigned_abs()));
            vec![rule(&families.map(|family| (0, SeccompCmpOp::Ne, family)))?]
        }
    };
    rules.insert(libc::SYS_socket, socket);
    if !sandbox.processes {
        let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
        rules.insert(libc::SYS_clone, vec![rule(&[(0, SeccompCmpOp::MaskedEq(thread), 0)])?]);
        #[cfg(target_arch = "x86_64")]
        rules.extend([libc::SYS_fork, libc::SYS_vfork].map(|call| (call, Vec::new())));
        // Older kernels let signals out: none but those to itself, by the number that it keeps when it becomes the program.
        let own = u64::from(std::process::id());
        let to_others = || rule(&[(0, SeccompCmpOp::Ne, own), (0, SeccompCmpOp::Ne, 0)]);
        for call in [libc::SYS_kill, libc::SYS_tgkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo] {
            rules.insert(call, vec![to_others()?]);
        }
        rules.extend(
            [libc::SYS_tkill, libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal].map(|call| (call, Vec::new())),
        );
    }
    Ok(rules)
}

/// Calls that are refused as if the kernel were too old to have them, so that libraries use the older ones: a filter
/// can't look into what they are given.
fn missing() -> Rules {
    [libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register]
        .into_iter()
        .map(|call| (call, Vec::new()))
        .collect()
}

/// Calls that no tool needs: leaving the group, raising limits, other processes' memory, memory that no limit counts,
/// what survives the program, and what only administrators do.
const REFUSED: [libc::c_long; 50] = [
    libc::SYS_setsid,
    libc::SYS_setpgid,
    libc::SYS_setrlimit,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_syslog,
    libc::SYS_personality,
    libc::SYS_vhangup,
];

/// A rule that holds if all of its conditions do: (number of the argument, comparison, value).
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, SandboxError> {
    let conditions = conditions.iter().map(|(argument, comparison, value)| {
        // Pointers have eight bytes; of flags, families and processes the kernel reads four.
        let size = if *argument == 2 { SeccompCmpArgLen::Qword } else { SeccompCmpArgLen::Dword };
        SeccompCondition::new(*argument, size, comparison.clone(), *value)
    });
    conditions.collect::<Result<Vec<_>, _>>().and_then(SeccompRule::new).map_err(layer("system calls"))
}

fn seccomp(rules: Rules, errno: i32) -> Result<(), SandboxError> {
    let unsupported = |error: seccompiler::BackendError| SandboxError::Unsupported(error.to_string());
    let architecture = std::env::consts::ARCH.try_into().map_err(unsupported)?;
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "other machines have one table of calls"))]
    let mut all = rules.clone();
    // The second table of x86-64, where the kernel has it: the same calls under other numbers.
    #[cfg(target_arch = "x86_64")]
    all.extend(rules.into_iter().map(|(call, rules)| (call | X32, rules)));
    let action = SeccompAction::Errno(errno.unsigned_abs());
    let filter = SeccompFilter::new(all, SeccompAction::Allow, action, architecture);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(layer("system calls"))?;
    seccompiler::apply_filter(&program).map_err(layer("system calls"))
}

/// Marks a call of x86-64's second table.
#[cfg(target_arch = "x86_64")]
const X32: libc::c_long = 0x4000_0000;

#[cfg(test)]
mod tests {
    use super::{Network, Rules, Sandbox, SandboxError, landlock, seccomp};
    use crate::testing::Scratch;
    use std::path::Path;

    #[test]
    fn on_a_kernel_without_landlock_nothing_is_started() {
        let scratch = Scratch::new("no-landlock");
        let sandbox = Sandbox {
            folder: scratch.path().to_owned(),
            read: Vec::new(),
            network: Network::None,
            processes: false,
            memory_bytes: 1 << 30,
            cpu_seconds: 1,
            file_bytes: 1,
        };
        // A thread for which the kernel is too old; a filter is of its thread alone.
        let old = std::thread::spawn(move || {
            seccomp(Rules::from([(libc::SYS_landlock_create_ruleset, Vec::new())]), libc::ENOSYS).unwrap();
            landlock(&sandbox, Path::new("/bin/true")).unwrap_err()
        });
        let error = old.join().unwrap();
        assert!(matches!(error, SandboxError::Unsupported(_)), "{error:?}");
        assert!(error.to_string().contains("it is not started unconfined"), "{error}");
    }
}
