# SPDX-License-Identifier: GPL-2.0-or-later
# A thin front to meson.  BUILD=folder builds elsewhere; PREFIX=folder, at the
# first make or with install, and DESTDIR=folder say where to install.
BUILD ?= build

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	scripts/setup
	meson setup $(if $(PREFIX),--prefix=$(PREFIX)) $(BUILD)

demo: all
	tests/demo.py $(BUILD)

check:
	scripts/setup check
	tests/run.py $(BUILD)

# That, whole systems, and the builds with sanitizers.
check-all:
	scripts/setup check
	tests/run.py --all $(BUILD)

bench: all
	scripts/setup bench
	tests/bench/run.py $(BUILD)

bench-relay: all
	tests/bench/run.py $(BUILD) relay

# What chance has most to do with, for long.
soak: all
	FERRY_BUILD=$(abspath $(BUILD)) FERRY_ROUNDS=100 \
	    tests/program/test_process_faults.py
	FERRY_BUILD=$(abspath $(BUILD)) FERRY_SECONDS=300 \
	    tests/program/test_stress_moves.py
	FERRY_BUILD=$(abspath $(BUILD)) FERRY_BREAKS=200 FERRY_AWAY=60 \
	    tests/relay/test_relay_qemu.py link_breaks
	FERRY_BUILD=$(abspath $(BUILD)) FERRY_STALLS=1000 \
	    tests/relay/test_relay_qemu.py test_stalls

lint: all
	scripts/setup lint
	scripts/lint $(BUILD)

# The unit suite, without what uses ioctls that valgrind does not know (of KVM,
# PAGEMAP_SCAN) and takes their results for garbage.  One process at a time:
# valgrind is slow as it is.
valgrind: all
	scripts/setup lint
	meson test -C $(BUILD) --num-processes 1 --timeout-multiplier 20 --wrap \
	    'valgrind --quiet --error-exitcode=1 --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite' \
	    $$(meson test -C $(BUILD) --list --suite unit | \
	       sed -n 's,.* / ,,p' | grep -v '^vmm-\(cpu\|machine\|ram\)$$')

# The last commit as an archive with checksums, and Debian packages of the tree.
dist:
	scripts/make-dist $(BUILD)/dist

deb:
	scripts/setup deb
	scripts/make-deb $(BUILD)/deb

install: $(BUILD)/build.ninja
	$(if $(PREFIX),meson configure $(BUILD) -Dprefix=$(PREFIX))
	ninja -C $(BUILD)
	meson install --no-rebuild -C $(BUILD)

clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan

.PHONY: all demo check check-all bench bench-relay soak lint valgrind \
    dist deb install clean
