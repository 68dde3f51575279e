# weir: the one Makefile. Plain `make` builds every program into build/bin.
#
# CC CFLAGS CPPFLAGS LDFLAGS PREFIX DESTDIR are yours; ours stand beside them.
# SAN=address,undefined builds with sanitizers, B= names the build directory.
# `make help` lists the targets.

VERSION = 0.1
CC = gcc
CFLAGS = -O2 -g
PREFIX = /usr/local
B = build$(if $(SAN),-san)
JOBS = $(shell nproc 2>/dev/null || echo 2)

# A new tool is one word here and, at need, LIBS_<tool>.
TOOLS = event-id ndjson-scrub ndjson-validate ndjson-dedup kpi-agg \
    ndjson-part raw-store sqlite-load sqlite-query run-log fetch-asc fetch-ga4 \
    fetch-meta bq-query bq-load
LIBS_run-log = -lcurl
LIBS_bq-query = -lcurl
LIBS_bq-load = -lcurl
LIBS_fetch-asc = -lcurl
LIBS_fetch-ga4 = -lcurl
LIBS_fetch-meta = -lcurl
LIBS = -ljq -lsqlite3 -lz -lcrypto -lm

WARN = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
    -Wmissing-prototypes -Wwrite-strings -Wformat=2 -Wvla $(WERROR)
MACHINE := $(shell uname -m)
HARDEN = -fstack-protector-strong -fstack-clash-protection -fPIE \
    -fno-strict-overflow $(if $(filter x86_64,$(MACHINE)),-fcf-protection=full) \
    $(if $(SAN),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
SAN_FLAGS = $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
ALL_CFLAGS = -std=c11 $(WARN) $(HARDEN) -ffile-prefix-map=$(CURDIR)=. \
    $(CFLAGS) $(SAN_FLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack \
    -Wl,--as-needed $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)

# Flags of single files, by base name. On other machines these are empty.
ifeq ($(MACHINE),x86_64)
CFLAGS_json_avx2 = -O3 -mavx2 -mbmi -mbmi2 -mlzcnt -mpclmul
CFLAGS_json_sse2 = -O3
endif
CFLAGS_json_avx512 = -O3
CFLAGS_json_portable = -O3

LIB_OBJ = $(patsubst %.c,$(B)/%.o,$(sort $(wildcard lib/*.c)))
EXIST = $(foreach t,$(TOOLS),$(if $(wildcard tools/$(t)/*.c),$(t)))
UNIT = $(patsubst test/unit/%.c,$(B)/test/unit/%,$(wildcard test/unit/*.c))
GEN = $(patsubst test/gen/%.c,$(B)/test/%,$(wildcard test/gen/*.c))
SIM_OBJ = $(patsubst %.c,$(B)/%.o,$(filter-out test/sim/raw.c, \
    $(sort $(wildcard test/sim/*.c))))
BENCH = $(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c))
FUZZ = $(patsubst fuzz/%.c,%,$(wildcard fuzz/*.c))
BATS = $(sort $(wildcard test/*.bats))

all: $(EXIST:%=$(B)/bin/%)

$(B)/libweir.a: $(LIB_OBJ)
	@rm -f $@
	ar rcD $@ $^

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE -DWEIR_VERSION='"$(VERSION)"' -Ilib $(CPPFLAGS) \
	    $(ALL_CFLAGS) $(CFLAGS_$(notdir $*)) -MMD -MP -c -o $@ $<

LINK = $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter-out %.a,$^) \
    $(filter %.a,$^)

define tool_rule
$(B)/bin/$(1): $$(patsubst %.c,$(B)/%.o,$$(sort $$(wildcard tools/$(1)/*.c))) \
    $(B)/libweir.a
	@mkdir -p $$(@D)
	$$(LINK) $$(LIBS_$(1)) $$(LIBS)
endef
$(foreach t,$(TOOLS),$(eval $(call tool_rule,$(t))))

# The tables of the warehouse, compiled into its loader.
CFLAGS_schema = -I$(B)
$(B)/tools/sqlite-load/schema.o: $(B)/schema.inc
$(B)/schema.inc: $(sort $(wildcard pipelines/sql/sqlite/*.sql))
	@mkdir -p $(@D)
	sed 's/[\\"]/\\&/g; s/.*/"&\\n",/' $^ > $@.new
	mv $@.new $@

# The statements of the loader of BigQuery, the tables' among them.
CFLAGS_sql = -I$(B)
$(B)/tools/bq-load/sql.o: $(B)/bq-sql.inc
$(B)/bq-sql.inc: $(sort $(wildcard pipelines/sql/bigquery/*.sql))
	@mkdir -p $(@D)
	for f in $^; do n=$${f##*/}; sed 's/[\\"]/\\&/g; s/.*/"&\\n"},/' $$f | \
	    sed "s/^/{\"$${n%.sql}\", /"; done > $@.new
	mv $@.new $@

# The columns of the export, for its SQL and for the stand-in of BigQuery.
CFLAGS_google = -I$(B)
CFLAGS_sql_schema = -I$(B)
$(B)/test/sim/google.o $(B)/tools/kpi-agg/sql_schema.o: $(B)/ga4-schema.inc
$(B)/ga4-schema.inc: test/data/ga4-events.schema.json
	@mkdir -p $(@D)
	sed 's/[\\"]/\\&/g; s/.*/"&\\n",/' $< > $@.new
	mv $@.new $@

# The members of the resources of BigQuery, for the same.
CFLAGS_bigquery_base = -I$(B)
$(B)/test/sim/bigquery_base.o: $(B)/bigquery-members.inc
$(B)/bigquery-members.inc: test/data/bigquery-v2.members
	@mkdir -p $(@D)
	sed 's/[\\"]/\\&/g; s/.*/"&\\n",/' $< > $@.new
	mv $@.new $@

$(B)/test/unit/json_diff: $(B)/fuzz/json.o
$(UNIT): $(B)/test/unit/%: $(B)/test/unit/%.o $(B)/libweir.a
	$(LINK) -lcurl $(LIBS)

# What no sound server writes.
$(B)/test/raw: $(B)/test/sim/raw.o $(B)/libweir.a
	$(LINK) -lssl $(LIBS)

$(GEN): $(B)/test/%: $(B)/test/gen/%.o $(B)/libweir.a
	$(LINK) $(LIBS)

# The local stand-in of the services (test/sim).
$(B)/test/weir-sim: $(SIM_OBJ) $(B)/libweir.a
	@mkdir -p $(@D)
	$(LINK) -lmicrohttpd $(LIBS)

$(BENCH): $(B)/bench/%: $(B)/bench/%.o $(B)/libweir.a
	$(LINK) $(LIBS)

# Preloaded into programs under test; never itself sanitized.
$(B)/test/fault.so: test/shim/fault.c Makefile
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE -O1 -g $(WARN) -fPIC -shared \
	    $(if $(SAN),-DFAULT_NO_MALLOC) -o $@ $< -ldl

-include $(shell find $(B) -name '*.d' 2>/dev/null)

# Tests -----------------------------------------------------------------------

tests-built: all $(UNIT) $(GEN) $(B)/test/fault.so $(B)/test/weir-sim $(B)/test/raw

BATS_FLAGS =
check: tests-built
	WEIR_B=$(B) SAN=$(SAN) bats $(if $(shell command -v parallel), \
	    --jobs $(JOBS) --no-parallelize-within-files) $(BATS_FLAGS) $(BATS)

# Against programs of others' making (PostgreSQL, an emulator of BigQuery): each
# says why it is skipped where there is none. Not a part of check.
real: tests-built
	WEIR_B=$(B) SAN=$(SAN) bats $(BATS_FLAGS) \
	    $(sort $(wildcard test/real/*.bats))

# The pages: options against --help, examples run, mandoc's own complaints.
check-docs: tests-built
	WEIR_B=$(B) SAN=$(SAN) bats $(BATS_FLAGS) test/man.bats

# All compilers, all warnings, all scripts.
SCRIPTS = bootstrap .ci/run $(shell grep -lsE '^\#! */(usr/bin/env )?(bin/)?(ba)?sh' \
    pipelines/* test/* bench/* bench/*/* 2>/dev/null)
SOURCES = $(wildcard lib/*.[ch] tools/*/*.[ch] test/*/*.c fuzz/*.c bench/*.c)
lint:
	$(MAKE) B=$(B)-lint-gcc CC=gcc WERROR=-Werror everything
	$(MAKE) B=$(B)-lint-clang CC=clang WERROR=-Werror everything
	shellcheck -x -S warning $(SCRIPTS) $(wildcard pipelines/*.sh)
	shellcheck -x -S warning -e SC2034 $(wildcard test/*.bash test/real/*.bash)
	mandoc -T lint -W warning $(wildcard man/*.[1-9])
	@clang-format --dry-run $(SOURCES) 2>&1 | grep -c 'warning:' | \
	    sed 's/^/clang-format: places that differ: /' || :
everything: tests-built $(BENCH)

# Each fuzz/*.c for FUZZ_SECONDS with libFuzzer; the corpus stays in the build.
FUZZ_SECONDS = 10
fuzz:
	$(MAKE) B=$(B)-fuzz CC=clang SAN=address,undefined,fuzzer-no-link \
	    CFLAGS="-O1 -g" fuzz-run
FUZZ_BIN = $(FUZZ:%=$(B)/fuzz/%)
$(B)/fuzz/tsv: $(patsubst %,$(B)/tools/fetch-asc/%.o,layout rows unpack)
$(FUZZ_BIN): $(B)/fuzz/%: $(B)/fuzz/%.o $(B)/libweir.a
	$(CC) $(ALL_CFLAGS) $(filter-out -fsanitize=%,$(ALL_LDFLAGS)) \
	    -fsanitize=address,undefined,fuzzer -o $@ $(filter-out %.a,$^) \
	    $(filter %.a,$^) -lcurl $(LIBS)
fuzz-run: $(FUZZ_BIN)
	set -e; for f in $(FUZZ); do mkdir -p $(B)/fuzz/corpus.$$f; \
	    echo "fuzz: $$f, $(FUZZ_SECONDS) s"; \
	    $(B)/fuzz/$$f -max_total_time=$(FUZZ_SECONDS) -timeout=20 \
	    -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
	    -artifact_prefix=$(B)/fuzz/ $(B)/fuzz/corpus.$$f \
	    $$(test ! -d fuzz/seeds/$$f || echo fuzz/seeds/$$f); done

# Hours rather than seconds: long fuzzing and the long forms of the tests.
soak: tests-built
	WEIR_B=$(B) WEIR_SOAK=1 bats $(BATS_FLAGS) $(BATS)
	$(MAKE) fuzz FUZZ_SECONDS=600

bench: all $(BENCH) $(GEN)
	WEIR_B=$(B) bench/run

# Pipelines -------------------------------------------------------------------

# What is said on make's command line (DATE= GA4_DIR= START= END= APP= SOURCE=
# WINDOW= ENGINE= DRY_RUN= FORCE= ACCEPT= REASON= DB= WEIR_HOME= ...) is in the
# environment of the scripts: make exports it.
RUN = env PATH="$(abspath $(B))/bin:$$PATH" WEIR_B='$(B)'

demo: all $(GEN) $(B)/test/weir-sim
	@$(RUN) pipelines/demo
daily backfill rebuild setup status parity: all
	@$(RUN) pipelines/$@

# Installing ------------------------------------------------------------------

SHARE = $(PREFIX)/share
BASH_DIR = $(SHARE)/bash-completion/completions
ZSH_DIR = $(SHARE)/zsh/site-functions
PIPES = $(filter-out %/sql,$(wildcard pipelines/*))

install: all
	install -d $(addprefix '$(DESTDIR)',$(PREFIX)/bin $(BASH_DIR) \
	    $(ZSH_DIR) $(SHARE)/weir/conf $(SHARE)/weir/pipelines/sql)
	set -e; for t in $(EXIST); do \
	    install -m 755 $(B)/bin/$$t '$(DESTDIR)$(PREFIX)'/bin/$$t; \
	    $(B)/bin/$$t --completion=bash >'$(DESTDIR)$(BASH_DIR)'/$$t; \
	    $(B)/bin/$$t --completion=zsh >'$(DESTDIR)$(ZSH_DIR)'/_$$t; done
	set -e; for m in $(notdir $(wildcard man/*.[1-9])); do \
	    d='$(DESTDIR)$(SHARE)'/man/man$${m##*.}; \
	    install -d $$d; install -m 644 man/$$m $$d/$$m; done
	set -e; for f in $(notdir $(wildcard conf/*)); do install -m 644 \
	    conf/$$f '$(DESTDIR)$(SHARE)'/weir/conf/$$f; done
	set -e; for f in $(notdir $(PIPES)); do install -m $$(test -x \
	    pipelines/$$f && echo 755 || echo 644) pipelines/$$f \
	    '$(DESTDIR)$(SHARE)'/weir/pipelines/$$f; done
	cp -R pipelines/sql/. '$(DESTDIR)$(SHARE)'/weir/pipelines/sql/

uninstall:
	rm -f $(foreach t,$(TOOLS),'$(DESTDIR)$(PREFIX)'/bin/$(t) \
	    '$(DESTDIR)$(BASH_DIR)'/$(t) '$(DESTDIR)$(ZSH_DIR)'/_$(t))
	rm -f $(foreach m,$(notdir $(wildcard man/*.[1-9])), \
	    '$(DESTDIR)$(SHARE)'/man/man$(subst .,,$(suffix $(m)))/$(m))
	rm -rf '$(DESTDIR)$(SHARE)'/weir

# What is committed, with the commit's date: the same bytes each time.
REV = HEAD
DIST = weir-$(VERSION)
dist:
	@mkdir -p $(B)
	git archive --format=tar --prefix=$(DIST)/ $(REV) | \
	    gzip -9n >$(B)/$(DIST).tar.gz

clean:
	rm -rf $(B) $(B)-lint-gcc $(B)-lint-clang $(B)-fuzz

tools-list:
	@printf "%s\n" $(EXIST)

help:
	@echo 'all check check-docs real lint fuzz soak bench demo'
	@echo 'daily backfill rebuild setup status parity'
	@echo 'install uninstall dist clean'

.PHONY: all tests-built check check-docs real lint everything fuzz fuzz-run soak \
    bench demo daily backfill rebuild setup status parity install uninstall dist \
    clean help tools-list
.DELETE_ON_ERROR:
