//! Components that are none, or that want what none may have.

use super::Table;
use anyhow::{Context, Result};
use tidegate_e2e::{Daemon, Gate, catalog};
use tidegate_proto::v1::object::Object;
use tidegate_proto::v1::push_module_request::Part;
use tidegate_proto::v1::{self, policies_client::PoliciesClient};
use tonic::transport::Channel;

/// Mistakes in files that are pushed, and in how they are pushed.
pub(super) async fn all(
    table: &mut Table,
    gate: &Gate,
    daemon: &Daemon,
    channel: &Channel,
) -> Result<()> {
    let whole = shipped("seasonal-naive")?;
    let cases: [(&str, &str, Vec<u8>); 6] = [
        ("an empty file", "(0 bytes)", vec![]),
        (
            "a file that is something else",
            "#!/bin/sh",
            b"#!/bin/sh\necho hello\n".to_vec(),
        ),
        (
            "a core module instead of a component",
            "(module)",
            b"\0asm\x01\0\0\0".to_vec(),
        ),
        (
            "a component of nothing",
            "(component)",
            b"\0asm\x0d\0\x01\0".to_vec(),
        ),
        (
            "a component cut in half",
            "seasonal-naive.wasm, its first half",
            whole[..whole.len() / 2].to_vec(),
        ),
        (
            "a component that wants a clock from WASI",
            "(component (import \"wasi:clocks/wall-clock@0.2.0\" ...))",
            wasi(),
        ),
    ];
    for (mistake, given, bytes) in cases {
        let file = gate.file("policy.wasm", bytes)?;
        let mut outcome = daemon.cli(&["policy", "push", &file.display().to_string()])?;
        // Where it ends depends on who compiled it.
        outcome.stderr = without_offsets(&outcome.stderr);
        table.command(mistake, given, &outcome)?;
    }
    // What the compiler says of a damaged function names the compiler's own symbols: no text to
    // hold on to, but a refusal it must be.
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    let file = gate.file("policy.wasm", flipped)?;
    let outcome = daemon.cli(&["policy", "push", &file.display().to_string()])?;
    anyhow::ensure!(
        outcome.code == Some(1),
        "a damaged component was taken: {outcome:?}"
    );
    let none = gate.home().join("none.wasm").display().to_string();
    table.command(
        "a file that is not there",
        "none.wasm",
        &daemon.cli(&["policy", "push", &none])?,
    )?;
    by_hand(table, channel).await
}

/// Hexadecimal numbers, told apart no more.
fn without_offsets(text: &str) -> String {
    let mut parts = text.split("0x");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        all + "0x..." + rest
    })
}

/// Uploads that a program puts together wrongly.
async fn by_hand(table: &mut Table, channel: &Channel) -> Result<()> {
    let header_for = |size, digest: &str, tenant: &str| {
        Part::Header(v1::PushModuleHeader {
            size,
            digest: digest.into(),
            tenant: tenant.into(),
            signature: vec![],
        })
    };
    let header = |size, digest: &str| header_for(size, digest, "");
    let full = v1::Tenant {
        name: "full".into(),
        max_series: 1,
        max_samples_per_s: 1,
        ..v1::Tenant::default()
    };
    catalog::apply(channel, vec![Object::Tenant(full)]).await?;
    let chunk = |n| Part::Chunk(vec![0; n]);
    let zeros = "0".repeat(64);
    let cases = [
        ("bytes without a header", "chunk: 3 bytes", vec![chunk(3)]),
        (
            "a size beyond all bounds",
            "size: 2^64 - 1",
            vec![header(u64::MAX, "")],
        ),
        (
            "fewer bytes than were told",
            "size: 4, chunk: 3 bytes",
            vec![header(4, ""), chunk(3)],
        ),
        (
            "more bytes than were told",
            "size: 4, chunk: 5 bytes",
            vec![header(4, ""), chunk(5)],
        ),
        (
            "another digest than was told",
            "digest: 000...",
            vec![header(4, &zeros), chunk(4)],
        ),
        (
            "a module for a tenant that is none",
            "tenant: shop/orders",
            vec![header_for(4, "", "shop/orders"), chunk(4)],
        ),
        (
            "a module for a tenant that nobody declared",
            "tenant: nobody",
            vec![header_for(4, "", "nobody"), chunk(4)],
        ),
        (
            "a module for a tenant that may hold none",
            "tenant: full (max_modules: 0)",
            vec![header_for(4, "", "full"), chunk(4)],
        ),
    ];
    for (mistake, given, parts) in cases {
        let parts: Vec<_> = parts
            .into_iter()
            .map(|part| v1::PushModuleRequest { part: Some(part) })
            .collect();
        let answer = PoliciesClient::new(channel.clone())
            .push(tokio_stream::iter(parts))
            .await;
        table.call(mistake, given, answer)?;
    }
    Ok(())
}

/// A shipped component, as the daemon's build left it.
fn shipped(name: &str) -> Result<Vec<u8>> {
    let binary = tidegate_e2e::binary()?;
    let target = binary
        .parent()
        .and_then(std::path::Path::parent)
        .context("the binary lies at the root")?;
    Ok(std::fs::read(
        target
            .join("guests")
            .join("components")
            .join(format!("{name}.wasm")),
    )?)
}

/// A component that imports an (empty) instance of WASI's wall clock, byte by byte: a type section
/// with an empty instance type, an import section that names it.
fn wasi() -> Vec<u8> {
    let name = b"wasi:clocks/wall-clock@0.2.0";
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    bytes.extend([7, 3, 1, 0x42, 0]);
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    bytes.extend([10, length + 5, 1, 0, length]);
    bytes.extend(name);
    bytes.extend([5, 0]);
    bytes
}
