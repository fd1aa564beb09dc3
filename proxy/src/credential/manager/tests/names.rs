//! Under which name, and with which key, a record is found again.

use super::*;
use crate::credential::lifecycle::Terms;

/// A store that outlives its processes.
fn durable() -> Arc<dyn Store> {
    Arc::new(Failing(Memory::default(), AtomicU32::new(0)))
}

fn named(connector: &str, keeping: Keeping, provider: &Arc<Provider>) -> Manager {
    manager_of(connector, CredentialKind::RefreshToken, Source::Value("seed".into()), keeping, provider)
}

#[tokio::test(start_paused = true)]
async fn with_another_key_nothing_is_sent() {
    let (store, provider) = (durable(), Arc::new(Provider::default()));
    assert_eq!(token(&mortal(&store, &provider)).await, "at-1");
    let key = SecretValue::new("08".repeat(32).into_bytes());
    let other = Keeping { store: Arc::clone(&store), sealer: Arc::new(Sealer::with_key(&key).unwrap()) };
    let manager = named("crm", other, &provider);
    let fault = manager.current(soon()).await.unwrap_err();
    assert!(fault.message.contains("with this `state.key`"), "{fault}");
    tokio::time::sleep(HOUR).await;
    assert_eq!(provider.seen(), ["seed"]);
    assert_eq!(manager.status().state(), "failing");
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_is_renamed_goes_on_with_its_family() {
    let (store, provider) = (durable(), Arc::new(Provider::default()));
    let before = named("crm", keeping(Arc::clone(&store)), &provider);
    assert_eq!(token(&before).await, "at-1");
    let after = named("customers", keeping(Arc::clone(&store)), &provider);
    assert_eq!(token(&after).await, "at-1");
    tokio::time::sleep(HOUR).await;
    assert_eq!((token(&before).await, token(&after).await), ("at-2".into(), "at-2".into()));
    assert_eq!(provider.seen(), ["seed", "rt-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_without_a_mark_is_found_by_its_name() {
    let (store, provider) = (durable(), Arc::new(Provider::default()));
    let seed = SecretValue::new(b"seed".to_vec());
    let sealer = keeping(Arc::clone(&store)).sealer;
    let key = format!("crm/login/{}", sealer.name(&seed).unwrap());
    let terms = Terms { life: Some(HOUR), ..Terms::default() };
    let refresh_token = Some(SecretValue::new(b"rt-9".to_vec()));
    let kept = Record { refresh_token, terms, ..Record::default() };
    let sealed = sealer.seal(&key, &kept).unwrap();
    store.commit(&key, Owner(7), Entry { version: 9, sealed, age: HOUR }).await.unwrap();
    let before = mortal(&store, &provider);
    assert_eq!(token(&before).await, "at-1");
    let after = named("customers", keeping(store), &provider);
    assert_eq!(token(&after).await, "at-1");
    assert_eq!(provider.seen(), ["rt-9"]);
}
