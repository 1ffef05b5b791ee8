//! Requests to every operation of the OpenAPI document, made from it and then damaged, through the real router and the real store.
//! An input is a few requests in a row, which begin with the same items in the table.

#[path = "body.rs"]
mod body;
#[path = "document.rs"]
mod document;
#[path = "oracle.rs"]
mod oracle;
#[path = "request.rs"]
mod request;
#[path = "world.rs"]
mod world;

use std::{panic::AssertUnwindSafe, time::Duration};

use arbitrary::{Result, Unstructured};
use fuzz::figures::Figures;
use tokio::runtime::{self, Runtime};

use document::Operation;
use request::Known;
use world::World;

/// Requests of one input.
const STEPS: usize = 8;

struct Target {
    runtime: Runtime,
    operations: Vec<Operation>,
    world: World,
    figures: Figures,
}

fn main() {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::start());
    let (operations, mut figures) = (document::operations(), Figures::default());
    figures.expect(operations.iter().map(|operation| operation.id));
    let mut target = AssertUnwindSafe(Target {
        world,
        operations,
        figures,
        runtime,
    });
    bolero::check!().for_each(|input: &[u8]| run(&mut target, input));
}

fn run(target: &mut AssertUnwindSafe<Target>, input: &[u8]) {
    let Target {
        runtime,
        operations,
        world,
        figures,
    } = &mut target.0;
    figures.input();
    runtime.block_on(async {
        world.reset().await;
        // An input that is too short ends with the last whole request.
        let _ = steps(&mut Unstructured::new(input), operations, world, figures).await;
    });
}

async fn steps(
    u: &mut Unstructured<'_>,
    operations: &[Operation],
    world: &mut World,
    figures: &mut Figures,
) -> Result<()> {
    let mut known = Known::of(world);
    for _ in 0..STEPS {
        if u.is_empty() {
            break;
        }
        let operation = u.choose(operations)?;
        let sent = request::request(u, operation, world, &known)?;
        if body::rarely(u, 16)? {
            world.system.advance(Duration::from_secs(6));
        }
        oracle::check(operation, &sent, world, &mut known, figures).await;
    }
    Ok(())
}
