#include "reject.h"

#include <inttypes.h>
#include <stdlib.h>

#include "buf.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "json.h"
#include "mem.h"
#include "out.h"

#define MESSAGES 20 /* printed; the rest is counted */

struct reject_files {
	struct afile lines, why;
	struct out lines_out, why_out;
	char *why_path;
	struct buf row, text;
};

void
rejects_init(struct rejects *r)
{
	memset(r, 0, sizeof *r);
	r->max = UINT64_MAX;
	r->percent = -1;
}

bool
rejects_parse_max(struct rejects *r, const char *text)
{
	uint64_t n = 0, unit = 1, part = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (n > UINT64_MAX / 16)
			return false;
		n = n * 10 + (uint64_t)(*p - '0');
	}
	if (p == text)
		return false;
	if (*p == '\0') {
		r->max = n;
		r->max_given = true;
		return true;
	}
	if (*p == '.') {
		for (p++; *p >= '0' && *p <= '9' && unit < 1000000; p++) {
			part = part * 10 + (uint64_t)(*p - '0');
			unit *= 10;
		}
		if (unit == 1)
			return false;
	}
	if (*p != '%' || p[1] != '\0' || n > 100)
		return false;
	r->percent = (double)n + (double)part / (double)unit;
	r->max_given = true;
	return true;
}

int
rejects_open(struct rejects *r)
{
	struct reject_files *f;

	if (r->path == NULL)
		return RC_OK;
	f = xcalloc(1, sizeof *f);
	f->why_path = xasprintf("%s.why", r->path);
	if (afile_open(&f->lines, r->path) != RC_OK)
		goto no_lines;
	if (afile_open(&f->why, f->why_path) != RC_OK)
		goto no_why;
	out_init(&f->lines_out, f->lines.fd, r->path, 0);
	out_init(&f->why_out, f->why.fd, f->why_path, 0);
	buf_init(&f->row, 1u << 20);
	buf_init(&f->text, 1u << 20);
	r->files = f;
	return RC_OK;
no_why:
	afile_drop(&f->lines);
no_lines:
	free(f->why_path);
	free(f);
	return RC_CANTCREAT;
}

static void
clean_member(
    struct reject_files *f, struct jsonw *w, const char *name, const char *text)
{
	buf_reset(&f->text);
	json_write_clean(&f->text, text, strlen(text));
	jsonw_raw(w, name, f->text.p, f->text.len);
}

static void
keep(struct reject_files *f, const char *file, uint64_t line, size_t byte,
    const char *text, size_t len, const char *reason)
{
	struct jsonw w;

	out_record(&f->lines_out, text, len < REJECT_KEEP ? len : REJECT_KEEP);
	buf_reset(&f->row);
	jsonw_begin(&w, &f->row, '{');
	clean_member(f, &w, "file", file);
	jsonw_u64(&w, "line", line);
	jsonw_u64(&w, "byte", byte);
	jsonw_str(&w, "tool", diag_tool());
	clean_member(f, &w, "reason", reason);
	if (len > REJECT_KEEP)
		jsonw_bool(&w, "cut", true);
	jsonw_end(&w);
	out_record(&f->why_out, f->row.p, f->row.len);
}

int
rejects_take(struct rejects *r, const char *file, uint64_t line, size_t byte,
    const char *text, size_t len, const char *reason)
{
	r->count++;
	if (r->printed < MESSAGES) {
		r->printed++;
		warn_at(file, line, byte, "%s", reason);
	}
	if (r->files == NULL)
		return RC_CONTRACT;
	keep(r->files, file, line, byte, text, len, reason);
	if (r->files->lines_out.failed || r->files->why_out.failed)
		return RC_IO; /* rejects_close says why */
	if (r->count > r->max) {
		warn_msg("--max-rejects", "more than %" PRIu64 " bad records",
		    r->max);
		return RC_CONTRACT;
	}
	return RC_OK;
}

static int
put_in_place(struct rejects *r)
{
	struct reject_files *f = r->files;
	int lines = out_close(&f->lines_out);
	int why = out_close(&f->why_out);
	int status = RC_IO;

	r->files = NULL;
	if (lines != RC_OK || why != RC_OK) {
		afile_drop(&f->lines);
		afile_drop(&f->why);
	} else {
		lines = afile_commit(&f->lines, 0);
		why = afile_commit(&f->why, 0);
		if (lines == RC_OK && why == RC_OK)
			status = RC_OK;
	}
	buf_release(&f->row);
	buf_release(&f->text);
	free(f->why_path);
	free(f);
	return status;
}

int
rejects_close(struct rejects *r, uint64_t records)
{
	int status = r->count > 0 ? RC_PARTIAL : RC_OK;

	if (r->count > r->printed)
		warn_msg(NULL,
		    "%" PRIu64 " bad records, %" PRIu64
		    " of them not named here",
		    r->count, r->count - r->printed);
	if (r->files == NULL)
		return r->count > 0 ? RC_CONTRACT : RC_OK;
	if (put_in_place(r) != RC_OK)
		return RC_IO;
	if (r->count > r->max)
		return RC_CONTRACT;
	if (r->percent >= 0 &&
	    (double)r->count * 100 > r->percent * (double)records) {
		warn_msg("--max-rejects",
		    "%" PRIu64 " of %" PRIu64 " records are bad", r->count,
		    records);
		return RC_CONTRACT;
	}
	return status;
}
