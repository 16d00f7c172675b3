//! SPEC A3: what a run ordered is kept until the ledger was asked, and what became of those that it hired as long as it is kept itself.

use super::{HiredRecord, OrdersRecord, RUNS_MAX, RunRecord};
use crate::store::GatewayStore;
use inferium_types::{
    AgentId, Amount, CallRecord, Digest, JobInput, JobLeaf, JobPayload, LeaseId, RunInput, RunTerms, RunTranscript,
    SecretKey, SpendOrder, step_request, step_result,
};

fn run(number: u64) -> LeaseId {
    LeaseId::new(Digest::sha256(&number.to_be_bytes()))
}

fn transcript(calls: usize) -> RunTranscript {
    let terms = RunTerms { agent: AgentId::new(Digest::ZERO), version: Digest::ZERO, input: Digest::ZERO, open_ms: 1 };
    let call = CallRecord::Spend { order: SpendOrder::Hire { run: terms } };
    RunTranscript { tools: Vec::new(), calls: vec![call; calls], answer: "done".into() }
}

fn step(transcript: &RunTranscript) -> JobLeaf {
    let request = step_request(run(0), 0, &Digest::ZERO, &Digest::ZERO);
    JobLeaf { result: step_result(&request, Digest::ZERO, &transcript.public(), true), request }
}

fn open() -> (std::path::PathBuf, GatewayStore) {
    let path = std::env::temp_dir().join(format!("inferium-runs-{:032x}", rand::random::<u128>()));
    let store = GatewayStore::open(&path, &SecretKey::from_bytes([1; 32]).unwrap()).unwrap();
    (path, store)
}

#[test]
fn orders_are_there_with_what_they_hire_for_until_they_were_brought() {
    let (path, store) = open();
    let payer = Digest::sha256(b"payer");
    let nothing = transcript(0);
    assert_eq!(OrdersRecord::of(step(&nothing), &nothing, (payer, Vec::new(), Amount::ZERO)), None);
    let input = RunInput { manifest: "clerk".into(), task: "File it.".into(), files: Vec::new() };
    let given = JobPayload { salt: [3; 32], input: JobInput::Run(input) };
    let two = transcript(2);
    let record = OrdersRecord::of(step(&two), &two, (payer, vec![(1, given)], Amount::from_nano(50))).unwrap();
    store.put_orders(&record).unwrap();
    assert_eq!(store.ordering().unwrap(), [(run(0), record.step.request.job)]);
    let kept = store.orders(run(0)).unwrap().unwrap();
    assert_eq!(kept, record);
    let places: Vec<u32> = kept.spends().iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [0, 1]);
    store.remove_orders(run(0)).unwrap();
    assert_eq!((store.ordering().unwrap(), store.orders(run(0)).unwrap()), (Vec::new(), None));
    drop(store);
    let _ = std::fs::remove_file(&path);
}

#[test]
fn what_became_of_an_order_goes_with_its_run() {
    let (path, store) = open();
    let payer = Digest::sha256(b"payer");
    let keep = |number: u64| {
        let record = RunRecord { began_at_ms: number, shown: "{}".into(), brief: "{}".into() };
        store.put_run(payer, run(number), &record).unwrap();
    };
    let (opened, refused) = (HiredRecord::Opened { run: run(9_999) }, HiredRecord::Refused { reason: "no".into() });
    for number in [0, 1] {
        keep(number);
        store.put_hired((run(number), 0), &opened).unwrap();
        store.put_hired((run(number), u32::MAX), &refused).unwrap();
    }
    assert_eq!(store.hired((run(0), 1)).unwrap(), None, "an order that waits");
    // Brought a second time it is refused, and stands as it stood.
    store.put_hired((run(1), 0), &refused).unwrap();
    for number in 2..=u64::try_from(RUNS_MAX).unwrap() {
        keep(number);
    }
    assert_eq!((store.hired((run(0), 0)).unwrap(), store.hired((run(0), u32::MAX)).unwrap()), (None, None));
    assert_eq!(store.hired((run(1), 0)).unwrap(), Some(opened));
    assert_eq!(store.hired((run(1), u32::MAX)).unwrap(), Some(refused));
    drop(store);
    let _ = std::fs::remove_file(&path);
}
