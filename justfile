# `just` lists these. Everything here is also a plain command; nothing needs just.

_list:
    @just --list --unsorted

# The release binary: target/release/tarsops.
build:
    cargo build --locked --release

# The whole story on an embedded cluster.
demo *args:
    cargo run --locked --release -- demo {{args}}

# All tests; as root, with hosts made of namespaces.
test *args:
    .ci/test {{args}}

# Every check.
ci:
    .ci/run

fmt:
    cargo fmt --all

lint:
    cargo clippy --locked --workspace --all-targets -- -D warnings

# Writes schemas/ anew.
schema:
    cargo run --locked --quiet -- schema > schemas/cluster.schema.json.new
    mv schemas/cluster.schema.json.new schemas/cluster.schema.json

# Writes the expected messages of fixtures/specs/invalid anew; read the difference.
fixtures:
    UPDATE_FIXTURES=1 cargo test --locked -p tarsops-spec invalid

# Writes docs/commands.md and docs/spec-reference.md anew.
docs:
    UPDATE_DOCS=1 cargo test --locked -p tarsops-cli --test docs

# The bill of materials of a release: target/tarsops.cdx.json. Needs cargo-cyclonedx.
sbom:
    .ci/sbom

# What the planner, a warm plan, and asking the framework cost; the last two need root, as they make
# hosts, and the last one mariadbd.
bench:
    cargo bench --locked -p tarsops-plan --bench planner
    cargo bench --locked -p tarsops-cli --bench warm_plan
    cargo bench --locked -p tarsops-cli --bench truth

# The planner's laws on worlds that no run has seen yet; a world that breaks one is kept beside the test.
worlds:
    PROPTEST_RNG_SEED=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ') cargo test --locked -p tarsops-plan --test laws

# One world in memory, by its seed, with what happens in it.
world seed:
    TARSOPS_SEED={{seed}} cargo test --locked -p tarsops-apply --test worlds no_world -- --nocapture

# About ten thousand runs in new worlds in memory; prints the seeds that break a law.
more-worlds:
    TARSOPS_WORLDS=2800 TARSOPS_FIRST=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ') cargo test --locked --release -p tarsops-apply --test worlds no_world -- --nocapture
