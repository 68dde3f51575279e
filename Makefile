# weir: one Makefile. CC CFLAGS CPPFLAGS LDFLAGS PREFIX DESTDIR are yours.
# SAN=address,undefined builds with sanitizers. B names the build directory.

VERSION = 0.1
CC = gcc
CFLAGS = -O2 -g
PREFIX = /usr/local
B = build

TOOLS = event-id ndjson-scrub ndjson-validate ndjson-dedup kpi-agg \
    ndjson-part raw-store sqlite-load sqlite-query run-log

WARN = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
    -Wmissing-prototypes -Wwrite-strings -Wformat=2 -Wvla
HARDEN = -fstack-protector-strong -fPIE -fno-strict-overflow \
    $(if $(SAN),,-D_FORTIFY_SOURCE=2)
ALL_CFLAGS = -std=c11 $(WARN) $(HARDEN) $(CFLAGS) \
    $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
ALL_LDFLAGS = -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack \
    -Wl,--as-needed $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)
LIBS = -ljq -lsqlite3 -lz -lcrypto -lm
LIBS_run-log = -lcurl

LIB_OBJ = $(patsubst %.c,$(B)/%.o,$(sort $(wildcard lib/*.c)))
EXIST = $(foreach t,$(TOOLS),$(if $(wildcard tools/$(t)/*.c),$(t)))

all: $(EXIST:%=$(B)/bin/%)

$(B)/libweir.a: $(LIB_OBJ)
	@rm -f $@
	ar rcD $@ $^

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE -DWEIR_VERSION='"$(VERSION)"' -Ilib $(CPPFLAGS) \
	    $(ALL_CFLAGS) $(CFLAGS_$(notdir $*)) -MMD -MP -c -o $@ $<

define tool_rule
$(B)/bin/$(1): $$(patsubst %.c,$(B)/%.o,$$(wildcard tools/$(1)/*.c)) $(B)/libweir.a
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_CFLAGS) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LIBS_$(1)) $$(LIBS)
endef
$(foreach t,$(TOOLS),$(eval $(call tool_rule,$(t))))

$(B)/test/gen-ga4: $(B)/test/gen/gen-ga4.o $(B)/libweir.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

-include $(shell find $(B) -name '*.d' 2>/dev/null)

.PHONY: all
