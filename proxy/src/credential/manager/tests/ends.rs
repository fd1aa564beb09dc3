//! The end of a process, or of a manager, before what was granted is written down.

use super::*;

/// The first attempts to write fail.
fn failing(times: u32) -> Arc<dyn Store> {
    Arc::new(Failing(Memory::default(), AtomicU32::new(times)))
}

/// Opened, with something granted that the store has not taken.
async fn owing(store: &Arc<dyn Store>, provider: &Arc<Provider>) -> Manager {
    let manager = mortal(store, provider);
    manager.open();
    tokio::time::sleep(TAKES + Duration::from_millis(10)).await;
    assert_eq!(provider.seen(), ["seed"]);
    manager
}

/// What the end of a process waits for.
fn all(manager: &Manager) -> Managers {
    let managers = Managers::default();
    managers.follow(manager);
    managers
}

#[tokio::test(start_paused = true)]
async fn a_process_ends_when_what_was_granted_is_written_down() {
    let (store, provider) = (failing(3), Arc::new(Provider::default()));
    let manager = owing(&store, &provider).await;
    all(&manager).finish().await;
    drop(manager);
    assert_eq!(token(&mortal(&store, &provider)).await, "at-1");
    assert_eq!(provider.seen(), ["seed"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_else_begins_at_the_end() {
    let (store, provider) = (failing(0), Arc::new(Provider::default()));
    let manager = owing(&store, &provider).await;
    all(&manager).finish().await;
    tokio::time::sleep(HOUR).await;
    assert_eq!(provider.seen(), ["seed"]);
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_is_let_go_of_is_kept_until_what_was_granted_is_written_down() {
    let (store, provider) = (failing(3), Arc::new(Provider::default()));
    drop(owing(&store, &provider).await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(token(&mortal(&store, &provider)).await, "at-1");
    assert_eq!(provider.seen(), ["seed"]);
}

#[tokio::test(start_paused = true)]
async fn a_process_ends_when_a_manager_that_is_let_go_of_has_written_down_what_it_was_at() {
    let (store, provider) = (failing(2), Arc::new(Provider::default()));
    let manager = mortal(&store, &provider);
    manager.open();
    tokio::time::sleep(TAKES / 2).await;
    let managers = all(&manager);
    drop(manager);
    assert_eq!(provider.seen(), ["seed"], "under way");
    managers.finish().await;
    let name = keeping(Arc::clone(&store)).sealer.name(&SecretValue::new(b"seed".to_vec())).unwrap();
    assert!(store.load(&format!("crm/login/{name}")).await.unwrap().is_some(), "written down by now");
    // Who has nothing under way is not waited for, and not kept.
    tokio::time::sleep(LOOK_EVERY).await;
    managers.finish().await;
    assert!(managers.0.lock().unwrap().iter().all(|inner| inner.strong_count() == 0));
}
