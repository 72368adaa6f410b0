# shellcheck shell=sh
# What both commands of the README need before cargo can work. Sourced by `demo` and `check` from
# the repository's root.
#
# Rule: nothing is installed before a line says what and why; where something cannot be installed,
# the script ends with the remedy. No script from the network is run.

say() {
    printf '%s\n' "$*"
}

# die WHAT REMEDY...: ends with what is wrong and what to do, one remedy a line.
die() {
    printf '\n%s: %s\n' "${0##*/}" "$1" >&2
    shift
    for remedy in "$@"; do
        printf '  -> %s\n' "$remedy" >&2
    done
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# The value of a `key = "value"` line in rust-toolchain.toml.
toolchain_file() {
    sed -n "s/^$1 = \"\\(.*\\)\"\$/\\1/p" rust-toolchain.toml
}

# as_root COMMAND...: fails where there is no way to be root without asking somebody who is not there.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        sudo "$@"
    else
        return 1
    fi
}

# A C compiler: rustc links with it, and one cryptography library has parts in C and assembly.
setup_linker() {
    if have cc; then
        return
    fi
    if have apt-get; then
        say "Set-up: there is no C compiler, which rustc links with."
        say "        Installing Debian's packages gcc and libc6-dev (about 150 MB) by apt-get."
        if as_root apt-get -q update &&
            as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get -q install -y --no-install-recommends gcc libc6-dev && have cc; then
            return
        fi
    fi
    die "there is no C compiler (cc), and it could not be installed from here." \
        "Debian or Ubuntu: sudo apt-get install gcc libc6-dev" \
        "Fedora: sudo dnf install gcc       Alpine: sudo apk add build-base"
}

# The pinned toolchain, by rustup where there is one. $@: the components needed beside the compiler.
setup_rust() {
    if ! have cargo && ! have rustup && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
        export PATH
    fi
    channel=${RUSTUP_TOOLCHAIN:-$(toolchain_file channel)}
    if have rustup; then
        setup_rustup_toolchain "$@"
    elif have cargo; then
        setup_distribution_toolchain "$@"
    else
        die "Rust is not installed (neither rustup nor cargo is on the PATH)." \
            "Debian 13, Ubuntu 24.04 or later: sudo apt-get install rustup" \
            "elsewhere: follow https://rustup.rs, open a new shell" \
            "then run this again; it installs the toolchain $channel by itself, and says so"
    fi
}

# An installed toolchain that is the pinned version under another name, such as `stable`.
same_toolchain() {
    rustup toolchain list 2>/dev/null | cut -d ' ' -f 1 | while read -r name; do
        if [ "$(rustup run "$name" rustc --version 2>/dev/null | cut -d ' ' -f 2)" = "$channel" ]; then
            printf '%s\n' "$name"
            break
        fi
    done
}

setup_rustup_toolchain() {
    # Rustup must start no installation of its own: it would be unannounced, and where the target
    # of rust-toolchain.toml cannot be added it would fail, although there is a second way.
    RUSTUP_AUTO_INSTALL=0
    export RUSTUP_AUTO_INSTALL
    if ! rustup run "$channel" rustc --version >/dev/null 2>&1; then
        same=$(same_toolchain)
        if [ -n "$same" ]; then
            say "Set-up: using the installed toolchain $same, which is Rust $channel."
            channel=$same
            RUSTUP_TOOLCHAIN=$same
            export RUSTUP_TOOLCHAIN
        fi
    fi
    if ! rustup run "$channel" rustc --version >/dev/null 2>&1; then
        say "Set-up: the Rust toolchain $channel is not installed (rust-toolchain.toml names it)."
        say "        Installing it by rustup, with rustfmt and clippy (about 600 MB)."
        rustup toolchain install "$channel" --profile minimal --no-self-update -c rustfmt -c clippy ||
            die "rustup could not install the toolchain $channel; its words are above." \
                "check the network, or point RUSTUP_DIST_SERVER at a mirror that has it" \
                "or use a toolchain that is there: RUSTUP_TOOLCHAIN=NAME ${0}"
    fi
    sysroot=$(rustup run "$channel" rustc --print sysroot)
    for component in "$@"; do
        # Looked for as a file: to ask rustup may need the network.
        case $component in
            clippy) tool=cargo-clippy ;;
            *) tool=$component ;;
        esac
        [ -x "$sysroot/bin/$tool" ] && continue
        say "Set-up: the component $component of $channel is missing. Installing it by rustup."
        rustup component add --toolchain "$channel" "$component" ||
            die "rustup could not add the component $component; its words are above." \
                "check the network, then: rustup component add --toolchain $channel $component"
    done
    setup_target
}

# The policies' target. Without it there is a second way, so that nothing ends here.
setup_target() {
    target=wasm32-unknown-unknown
    if [ -d "$sysroot/lib/rustlib/$target/lib" ]; then
        return
    fi
    say "Set-up: the policies are WebAssembly; adding the target $target by rustup (about 60 MB)."
    rustup target add --toolchain "$channel" "$target" || say_fallback
}

say_fallback() {
    say "Set-up: the target wasm32-unknown-unknown cannot be added here. Going on: the build of the"
    say "        policies then compiles the standard library for it from source (about a minute),"
    say "        if a compiler with its library's source is found (rust-src of rustup; Debian:"
    say "        rustc-web, cargo-web, rust-web-src). If not, the build says so and what to install."
}

# A distribution's own cargo: nothing is installed, but it must be new enough.
setup_distribution_toolchain() {
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    is=$(rustc --version 2>/dev/null | cut -d ' ' -f 2)
    oldest=$(printf '%s\n%s\n' "$wanted" "${is:-0}" | sort -V | head -n 1)
    [ "$oldest" = "$wanted" ] ||
        die "this rustc is ${is:-missing}, and Tidegate needs $wanted or later." \
            "install rustup (Debian 13, Ubuntu 24.04: sudo apt-get install rustup; or https://rustup.rs)"
    say "Set-up: there is no rustup; using the installed cargo ($is). Lints may differ from $channel's."
    for component in "$@"; do
        case $component in
            clippy) tool=cargo-clippy package=rust-clippy ;;
            *) tool=$component package=$component ;;
        esac
        have "$tool" || die "$tool is missing." "Debian or Ubuntu: sudo apt-get install $package"
    done
    [ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown/lib" ] || say_fallback
}
