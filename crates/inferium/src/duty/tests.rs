use super::*;

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn folder() -> Folder {
    let path = std::env::temp_dir().join(format!("inferium-duty-{:032x}", rand::random::<u128>()));
    std::fs::create_dir_all(&path).unwrap();
    Folder(path)
}

#[test]
fn what_an_operator_wants_stands_over_a_restart_but_a_drained_worker_works_again() {
    let folder = folder();
    let file = DutyFile::of(&folder.0, "worker");
    assert_eq!(file.read().unwrap(), Duty::Working);
    for (wanted, then) in
        [(Duty::Paused, Duty::Paused), (Duty::Draining, Duty::Working), (Duty::Working, Duty::Working)]
    {
        file.write(wanted).unwrap();
        assert_eq!(file.read().unwrap(), then);
    }
    std::fs::write(folder.0.join("worker.duty"), "asleep\n").unwrap();
    assert!(file.read().unwrap_err().to_string().contains("is no duty"));
}

#[tokio::test]
async fn a_worker_that_joined_is_told_what_its_file_says() {
    let folder = folder();
    let file = DutyFile::of(&folder.0, JOINED);
    let (wanted, mut duty) = watch::channel(Duty::Working);
    let following = tokio::spawn(file.clone().follow(Duration::from_millis(1), wanted));
    set_joined(Duty::Paused, &folder.0, None).unwrap();
    duty.wait_for(|duty| *duty == Duty::Paused).await.unwrap();
    set_joined(Duty::Working, &folder.0, Some(JOINED)).unwrap();
    duty.wait_for(|duty| *duty == Duty::Working).await.unwrap();
    assert!(set_joined(Duty::Paused, &folder.0, Some("other")).is_err());
    assert!(set_joined(Duty::Draining, &folder.0, None).is_err());
    drop(duty);
    following.await.unwrap();
}

#[test]
fn without_a_word_the_folder_is_meant_that_there_is() {
    let (network, worker) = (folder(), folder());
    let only = || only_folder(network.0.clone(), worker.0.clone());
    assert_eq!(only().unwrap(), network.0, "whose error tells what is missing");
    std::fs::write(worker.0.join("worker.redb"), []).unwrap();
    assert_eq!(only().unwrap(), worker.0);
    let file = json!({"network_key": "", "base_url": "", "admin_url": "", "rpc_urls": [], "nodes": [], "profiles": []});
    std::fs::write(network.0.join("network.json"), file.to_string()).unwrap();
    assert!(only().unwrap_err().to_string().contains("say which"));
    std::fs::remove_file(worker.0.join("worker.redb")).unwrap();
    assert_eq!(only().unwrap(), network.0);
}

#[test]
fn a_worker_is_named_unless_it_is_the_only_one() {
    let one = json!({"data": [{"name": "worker", "node": "aa", "duty": "working"}]});
    let two = json!({"data": [{"name": "worker", "node": "aa"}, {"name": "embedder", "node": "bb"}]});
    assert_eq!(named(&one, None).unwrap(), "worker");
    assert_eq!(named(&two, Some("bb".into())).unwrap(), "embedder");
    for (workers, name) in [(&two, None), (&two, Some("other".to_owned())), (&json!({"data": []}), None)] {
        assert!(named(workers, name).is_err());
    }
}
