//! The kernel that a driver runs in: builder, parts, and what a test does with it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::bug::{Bug, BugKind, Note};
use crate::cpu::watchdog::{self, Watched};
use crate::cpu::{DISPATCH, Registers, Returned, Site, enter, install_handlers};
use crate::driver::Driver;
use crate::exports::DataExports;
use crate::flt::FilterManager;
use crate::inject::Injector;
use crate::ledger::Ledger;
use crate::machine::{Machine, Phase};
use crate::npfs::Npfs;
use crate::nt::{
    CrashCallbacks, Devices, Objects, ProcessNotify, Requests, Resources, Tracing, WorkItems,
};
use crate::pe::{Image, LoadError, walk};
use crate::pool::{Heap, Pool, PoolMarks};
use crate::process::{Process, ProcessSpec, Processes};
use crate::sched::{Clock, MachineClock, Orders, Sched, Services, Threads, ticks};
use crate::symbols::Frame;
use crate::token::{Token, TokenSpec};

/// How a kernel shall be.
#[derive(Debug)]
pub struct Builder {
    machine: Option<Machine>,
    pool: Pool,
    hang_limit: Duration,
    echo: bool,
    demand_start: bool,
    safe_mode: u32,
    seed: Option<u64>,
}

impl Builder {
    /// Boots this machine: its disk, its registry, its clock.
    pub fn machine(mut self, machine: Machine) -> Builder {
        self.machine = Some(machine);
        self
    }

    /// How pool memory is served.
    pub fn pool(mut self, pool: Pool) -> Builder {
        self.pool = pool;
        self
    }

    /// How long driver code may run without calling an API, and how long a wait without timeout
    /// may last that the test itself runs into. 10 s unless set.
    pub fn hang_limit(mut self, limit: Duration) -> Builder {
        self.hang_limit = limit;
        self
    }

    /// Prints debug messages of drivers to standard error as they come.
    pub fn echo(mut self, echo: bool) -> Builder {
        self.echo = echo;
        self
    }

    /// Drivers are started by hand on a running system: file systems, drive letters and NPFS
    /// are there, and boot reinitialization routines never run.
    pub fn demand_start(mut self) -> Builder {
        self.demand_start = true;
        self
    }

    /// `InitSafeBootMode`: 0 normal, 1 minimal, 2 network, 3 directory services repair.
    pub fn safe_mode(mut self, mode: u32) -> Builder {
        self.safe_mode = mode;
        self
    }

    /// Runs one thread at a time, in an order that the seed picks, on a clock that is no real time:
    /// what happens comes again with the same seed. The thread that builds the kernel takes part;
    /// others that call drivers are made by [`Kernel::race`].
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = Some(seed);
        self
    }

    /// Boots. A machine shall run one kernel at a time.
    pub fn build(self) -> Arc<Kernel> {
        install_handlers();
        let machine = self.machine.unwrap_or_default();
        let phase = if self.demand_start { Phase::Running } else { Phase::DriverEntry };
        let boot_id = machine.boot(phase);
        machine.clock().stand(self.seed.is_some());
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let processes = Processes::new();
        let exports = DataExports::new(processes.system().address(), self.safe_mode);
        let kernel = Arc::new_cyclic(|me| Kernel {
            me: me.clone(),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            checked: self.pool == Pool::Special,
            hang_limit: self.hang_limit,
            echo: self.echo,
            demand_start: self.demand_start,
            boot_id,
            clock: Clock::new(machine.clone()),
            machine,
            heap: Heap::new(self.pool),
            ledger: Ledger::default(),
            injector: Injector::default(),
            sched: Sched::new(self.seed),
            threads: Threads::default(),
            services: Services::default(),
            orders: Orders::default(),
            resources: Resources::default(),
            work_items: WorkItems::default(),
            paged_hidden: AtomicBool::new(false),
            objects: Objects::default(),
            requests: Requests::default(),
            devices: Devices::default(),
            processes,
            exports,
            filters: FilterManager::default(),
            npfs: Npfs::default(),
            tracing: Tracing::default(),
            crash_callbacks: CrashCallbacks::default(),
            process_notify: ProcessNotify::default(),
            watched: Watched::default(),
            images: Mutex::new(Vec::new()),
            log: Mutex::new(Vec::new()),
            reinitialization: Mutex::new(Vec::new()),
            no_site: Site::from([]),
            booted: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            crash: Mutex::new(None),
        });
        watchdog::start(&kernel, self.hang_limit);
        kernel
    }
}

/// A routine registered by `IoRegisterBootDriverReinitialization`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reinitialization {
    pub driver_object: u64,
    pub routine: u64,
    pub context: u64,
    /// How often it ran.
    pub count: u32,
}

/// A running kernel. Many can run in one process.
pub struct Kernel {
    me: Weak<Kernel>,
    id: u64,
    checked: bool,
    hang_limit: Duration,
    echo: bool,
    demand_start: bool,
    boot_id: u32,
    machine: Machine,
    clock: Clock,
    heap: Heap,
    ledger: Ledger,
    injector: Injector,
    sched: Sched,
    threads: Threads,
    services: Services,
    orders: Orders,
    resources: Resources,
    work_items: WorkItems,
    /// See [`Kernel::hide_paged`].
    paged_hidden: AtomicBool,
    objects: Objects,
    requests: Requests,
    devices: Devices,
    processes: Processes,
    exports: DataExports,
    filters: FilterManager,
    npfs: Npfs,
    tracing: Tracing,
    crash_callbacks: CrashCallbacks,
    process_notify: ProcessNotify,
    watched: Watched,
    images: Mutex<Vec<Arc<Image>>>,
    log: Mutex<Vec<String>>,
    reinitialization: Mutex<Vec<Reinitialization>>,
    no_site: Site,
    /// The boot reinitialization list was walked.
    booted: AtomicBool,
    stopping: AtomicBool,
    crash: Mutex<Option<Bug>>,
}

impl Kernel {
    /// Starts describing a kernel.
    pub fn builder() -> Builder {
        Builder {
            machine: None,
            pool: Pool::Special,
            hang_limit: Duration::from_secs(10),
            echo: false,
            demand_start: false,
            safe_mode: 0,
            seed: None,
        }
    }

    /// The machine that this kernel runs on; outlives it.
    pub fn machine(&self) -> Machine {
        self.machine.clone()
    }

    /// `KUSER_SHARED_DATA.BootId`: the number of this boot of the machine, from 1.
    pub const fn boot_id(&self) -> u32 {
        self.boot_id
    }

    /// Maps a driver; symbols come from the `.pdb` beside it. Installs its service key unless
    /// there is one (see [`Machine::install_minifilter`]).
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Driver, LoadError> {
        let path = path.as_ref();
        let file = std::fs::read(path)
            .map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        let stem = path.file_stem().map_or("driver".into(), |stem| stem.to_string_lossy());
        Driver::load(self, &file, &stem, Some(path.with_extension("pdb")))
    }

    /// Runs the boot reinitialization routines, as the kernel does once boot devices have
    /// started, then starts the rest of the system: drive letters and NPFS appear. That happens
    /// once a boot: for a driver loaded later, and in a kernel with `demand_start`, the list is
    /// not walked, as in Windows.
    pub fn run_boot_reinitialization(&self) -> Result<(), Box<Bug>> {
        if self.demand_start || self.booted.swap(true, Ordering::AcqRel) {
            return self.attach_filters();
        }
        self.machine.set_phase(Phase::Reinitialization);
        let mut rounds = 0;
        loop {
            let batch: Vec<_> = self.reinitialization().drain(..).collect();
            if batch.is_empty() || rounds == 16 {
                break;
            }
            rounds += 1;
            for entry in batch {
                let count = entry.count + 1;
                // A routine may register itself again; then its count goes on.
                let before = self.reinitialization().len();
                let arguments = [entry.driver_object, entry.context, u64::from(count)];
                self.as_system(|| self.call(entry.routine, &arguments))?;
                for again in self.reinitialization().iter_mut().skip(before) {
                    again.count = count;
                }
            }
        }
        self.finish_boot();
        self.attach_filters()
    }

    /// Loads the bytes of a driver; see [`Kernel::load`].
    pub fn load_bytes(&self, file: &[u8], service: &str) -> Result<Driver, LoadError> {
        Driver::load(self, file, service, None)
    }

    /// Moves the system to its running phase without running anything of a driver.
    pub fn finish_boot(&self) {
        self.machine.set_phase(Phase::Running);
    }

    /// Moves the clock forward; whoever waits with a timeout looks again.
    pub fn advance(&self, duration: Duration) {
        self.machine.clock().advance(ticks(duration));
        self.sched.wake();
    }

    /// Waits, in real time, until all driver code waits or has returned, or `patience` is over. Who
    /// moves the clock while it runs makes a driver look slower than it is.
    pub fn rest(&self, patience: Duration) {
        if let Some(schedule) = self.sched.schedule() {
            return schedule.rest(self);
        }
        let end = Instant::now() + patience;
        while !self.watched.is_idle() && Instant::now() < end && !self.is_stopping() {
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// The names of the pipes that there are, upcased and sorted.
    pub fn pipe_names(&self) -> Vec<String> {
        self.npfs.names()
    }

    /// Makes a process.
    pub fn create_process(&self, spec: ProcessSpec) -> Arc<Process> {
        self.processes.create(spec)
    }

    /// Makes a token that threads can impersonate.
    pub fn create_token(&self, spec: TokenSpec) -> Arc<Token> {
        self.processes.tokens().create(spec)
    }

    /// The System process, number 4.
    pub fn system_process(&self) -> &Arc<Process> {
        self.processes.system()
    }

    /// What drivers owe.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Everything that drivers owe now, without settling it.
    pub fn outstanding(&self) -> crate::ledger::LeakReport {
        self.ledger.report(self)
    }

    /// The fault injection.
    pub fn injector(&self) -> &Injector {
        &self.injector
    }

    /// Bytes and blocks of pool in use.
    pub fn pool_in_use(&self) -> (usize, usize) {
        self.heap.in_use()
    }

    /// Bytes of each kind of pool, now and at most; zero with [`Pool::Fast`].
    pub fn pool_marks(&self) -> PoolMarks {
        self.heap.marks()
    }

    /// The debug messages so far.
    pub fn debug_log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The bug that stopped this kernel, be it on a thread of the test or of the driver.
    pub fn crash_report(&self) -> Option<Bug> {
        self.crash.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fails when a driver thread found a bug meanwhile.
    pub fn check(&self) -> Result<(), Box<Bug>> {
        match self.crash_report() {
            Some(bug) => Err(Box::new(bug)),
            None => Ok(()),
        }
    }

    /// Cuts the power: all driver threads end where they are, nothing is unloaded, what was not
    /// flushed to the disk is lost. The machine can boot again with another kernel.
    pub fn power_off(&self) {
        self.halt();
        self.machine.disk().lose_unflushed();
        self.machine.registry().lose_unflushed();
    }

    /// Tells drivers that asked for it that the machine is shut down, and goes on.
    pub fn tell_shutdown(&self) -> Result<(), Box<Bug>> {
        self.devices.shut_down(self)?;
        self.check()
    }

    /// Shuts the machine down in order: drivers that asked for it are told, then file systems write
    /// everything to the disk and the power goes. Nothing is unloaded.
    pub fn shut_down(&self) -> Result<(), Box<Bug>> {
        self.tell_shutdown()?;
        self.halt();
        self.machine.disk().flush();
        self.machine.registry().flush();
        Ok(())
    }

    /// The user shuts down and starts again with fast startup: his session's processes end, the
    /// kernel is hibernated and goes on with its drivers as it was. The clock on the wall moves on,
    /// the time that timeouts count does not.
    pub fn fast_startup(&self, off: Duration) -> Result<(), Box<Bug>> {
        for process in self.processes.of_users() {
            self.end_process(&process)?;
        }
        self.machine.clock().sleep(ticks(off));
        self.sched.wake();
        self.check()
    }

    /// File requests of drivers that are not over.
    pub fn requests_outstanding(&self) -> usize {
        self.requests.count()
    }

    /// Stops everything and keeps the disk as it is.
    pub fn halt(&self) {
        self.stop();
        self.threads.join_all(self);
    }

    // ---- for the modules of the host

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn shared(&self) -> Option<Arc<Kernel>> {
        self.me.upgrade()
    }

    /// Whether sites, locks and stacks are tracked closely.
    pub(crate) fn is_checked(&self) -> bool {
        self.checked
    }

    /// Stands for a place where none is kept.
    pub(crate) fn no_site(&self) -> Site {
        self.no_site.clone()
    }

    pub(crate) fn hang_limit(&self) -> Duration {
        self.hang_limit
    }

    pub(crate) fn machine_clock(&self) -> &MachineClock {
        self.machine.clock()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn pool(&self) -> &Heap {
        &self.heap
    }

    pub(crate) fn sched(&self) -> &Sched {
        &self.sched
    }

    pub(crate) fn threads(&self) -> &Threads {
        &self.threads
    }

    pub(crate) fn services(&self) -> &Services {
        &self.services
    }

    pub(crate) fn orders(&self) -> &Orders {
        &self.orders
    }

    pub(crate) fn resources(&self) -> &Resources {
        &self.resources
    }

    pub(crate) fn work_items(&self) -> &WorkItems {
        &self.work_items
    }

    /// In a kernel with a seed: what is pageable is paged out while the thread whose turn it is runs
    /// at DISPATCH_LEVEL or above, as with Driver Verifier's forced IRQL checking.
    pub(crate) fn hide_paged(&self, irql: u8) {
        let hide = irql >= DISPATCH;
        let seeded = self.sched.schedule().is_some();
        if seeded && self.paged_hidden.swap(hide, Ordering::Relaxed) != hide {
            self.heap.hide_paged(hide);
            for image in self.images().iter() {
                image.hide_paged(hide);
            }
        }
    }

    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    pub(crate) fn devices(&self) -> &Devices {
        &self.devices
    }

    pub(crate) fn processes(&self) -> &Processes {
        &self.processes
    }

    pub(crate) fn exports(&self) -> &DataExports {
        &self.exports
    }

    pub(crate) fn filters(&self) -> &FilterManager {
        &self.filters
    }

    pub(crate) fn process_notify(&self) -> &ProcessNotify {
        &self.process_notify
    }

    pub(crate) fn npfs(&self) -> &Npfs {
        &self.npfs
    }

    pub(crate) fn tracing(&self) -> &Tracing {
        &self.tracing
    }

    pub(crate) fn crash_callbacks(&self) -> &CrashCallbacks {
        &self.crash_callbacks
    }

    pub(crate) fn watched(&self) -> &Watched {
        &self.watched
    }

    pub(crate) fn reinitialization(&self) -> MutexGuard<'_, Vec<Reinitialization>> {
        self.reinitialization.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn images(&self) -> MutexGuard<'_, Vec<Arc<Image>>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn print(&self, text: String) {
        if self.echo {
            eprint!("{text}");
        }
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// Calls a driver routine on this thread.
    pub(crate) fn call(&self, target: u64, arguments: &[u64]) -> Result<Returned, Box<Bug>> {
        enter(self, target, arguments)
    }

    /// Runs something with System as the current process.
    pub(crate) fn as_system<T>(&self, run: impl FnOnce() -> T) -> T {
        self.system_process().attached(run)
    }

    /// Whether driver code must not run any more.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.sched.wake();
        if let Some(schedule) = self.sched.schedule() {
            schedule.end();
        }
        self.watched.call_out_all();
    }

    /// Notes a bug, the first one stays, and stops the kernel.
    pub(crate) fn crash(&self, bug: &Bug) {
        if matches!(bug.kind, BugKind::ThreadExit(_) | BugKind::Stopped) {
            return;
        }
        let mut crash = self.crash.lock().unwrap_or_else(PoisonError::into_inner);
        if crash.is_none() {
            *crash = Some(bug.clone());
        }
        drop(crash);
        self.stop();
    }

    /// A report with what the seed led to, for a kernel that has one.
    pub(crate) fn with_schedule(&self, mut bug: Box<Bug>) -> Box<Bug> {
        if let Some(played) = self.played()
            && !bug.kind.is_orderly()
            && !bug.notes.iter().any(|note| note.what.starts_with("seed "))
        {
            bug.notes.push(Note { what: played.to_string(), frames: Vec::new() });
        }
        bug
    }

    /// What a call into a stopped kernel answers.
    pub(crate) fn crash_or_stopped(&self) -> Box<Bug> {
        Box::new(self.crash_report().unwrap_or_else(|| Bug::bare(BugKind::Stopped)))
    }

    /// Return addresses from some registers, innermost first.
    pub(crate) fn walk(
        &self,
        registers: Registers,
        stack: &std::ops::Range<u64>,
        precise: bool,
        limit: usize,
    ) -> Vec<u64> {
        let images: Vec<Arc<Image>> = self.images().clone();
        let image_of = |address| {
            images.iter().find(|image| image.contains(address)).map(|image| image.unwind())
        };
        walk(image_of, registers, stack, precise, limit)
    }

    /// Addresses as frames of a report.
    pub(crate) fn frames(&self, addresses: &[u64], precise: bool) -> Vec<Frame> {
        let images = self.images();
        addresses
            .iter()
            .enumerate()
            .map(|(index, address)| {
                let module = images
                    .iter()
                    .map(|image| &image.module)
                    .find(|module| module.contains(*address))
                    .cloned();
                Frame::new(*address, module, !(precise && index == 0))
            })
            .collect()
    }

    /// A name for a thread that starts at an address.
    pub(crate) fn thread_name(&self, start: u64) -> String {
        let images = self.images();
        let module = images.iter().map(|image| &image.module).find(|m| m.contains(start));
        module.map_or("driver thread".to_owned(), |module| format!("{} thread", module.name))
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.stop();
        if !self.threads.join_all(self) {
            // A thread is stuck in driver code: its image must stay mapped.
            eprintln!("kernel-host: a driver thread did not stop; its image is leaked");
            std::mem::forget(std::mem::take(&mut *self.images()));
        }
    }
}
