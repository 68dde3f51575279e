#include "box.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "mem.h"

enum {
	LOOK_ROWS = 2000, /* rows that the widths are taken from */
	CELL_MAX = 1 << 20,
	WIDTH_MAX = 60,
};

struct column {
	size_t width;
	bool number;
};

struct box {
	struct rows *rows;
	struct out *out;
	struct column *col;
	char **cell; /* rows->n for each row that waits */
	size_t waiting;
	bool begun;
};

/* Characters, as far as a terminal shows one for each. */
static size_t
width_of(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* Length of a character that would do something to a terminal; 0: none. */
static size_t
harmful(const unsigned char *p)
{
	if (*p < 0x20 || *p == 0x7f)
		return 1;
	if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
		return 2;
	if (p[0] == 0xe2 &&
	    ((p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f ||
				  (p[2] >= 0xaa && p[2] <= 0xae))) ||
		(p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9)))
		return 3;
	return 0;
}

static void
clean(struct buf *out, const char *text, size_t n)
{
	char hex[8];

	for (size_t i = 0; i < n;) {
		size_t bad = harmful((const unsigned char *)text + i);

		if (bad == 0) {
			buf_char(out, text[i++]);
			continue;
		}
		for (; bad > 0 && i < n; bad--, i++) {
			snprintf(hex, sizeof hex, "\\x%02x",
			    (unsigned)(unsigned char)text[i]);
			buf_str(out, hex);
		}
	}
}

struct box *
box_new(struct rows *r, struct out *out)
{
	struct box *b = xcalloc(1, sizeof *b);

	b->rows = r;
	b->out = out;
	b->col = xcalloc(r->n + 1, sizeof *b->col);
	for (size_t i = 0; i < r->n; i++) {
		b->col[i].width = width_of(r->field[i].name);
		b->col[i].number = true;
	}
	return b;
}

static void
print_cell(struct box *b, size_t i, const char *text)
{
	size_t width = width_of(text);
	size_t pad = b->col[i].width > width ? b->col[i].width - width : 0;

	if (i > 0)
		out_write(b->out, "  ", 2);
	for (size_t k = 0; b->col[i].number && k < pad; k++)
		out_write(b->out, " ", 1);
	out_write(b->out, text, strlen(text));
	for (size_t k = 0; !b->col[i].number && i + 1 < b->rows->n && k < pad;
	     k++)
		out_write(b->out, " ", 1);
}

static void
print_head(struct box *b)
{
	b->begun = true;
	for (size_t i = 0; i < b->rows->n; i++) {
		struct buf name = BUF_INIT(CELL_MAX);
		const char *text = b->rows->field[i].name;

		clean(&name, text, strlen(text));
		print_cell(b, i, buf_cstr(&name));
		buf_release(&name);
	}
	out_write(b->out, "\n", 1);
	for (size_t i = 0; i < b->rows->n; i++) {
		if (i > 0)
			out_write(b->out, "  ", 2);
		for (size_t k = 0; k < b->col[i].width; k++)
			out_write(b->out, "-", 1);
	}
	out_write(b->out, "\n", 1);
}

static void
print_waiting(struct box *b)
{
	size_t n = b->rows->n;

	if (!b->begun)
		print_head(b);
	for (size_t k = 0; k < b->waiting; k++) {
		for (size_t i = 0; i < n; i++) {
			print_cell(b, i, b->cell[k * n + i]);
			free(b->cell[k * n + i]);
		}
		out_write(b->out, "\n", 1);
	}
	b->waiting = 0;
}

static bool
number(const char *s)
{
	return *s == '\0' || *s == '-' || (*s >= '0' && *s <= '9');
}

static int
take_cell(struct box *b, size_t i, char **cell)
{
	struct buf text = BUF_INIT(CELL_MAX);
	struct rows *r = b->rows;
	int type = sqlite3_column_type(r->st, (int)i), rc = RC_OK;
	size_t width;

	if (type == SQLITE_TEXT) {
		clean(&text, db_text(r->st, (int)i),
		    strlen(db_text(r->st, (int)i)));
		if (r->field[i].kind != KIND_DECIMAL && !r->field[i].number)
			b->col[i].number = false;
	} else if (type != SQLITE_NULL) {
		rc = rows_value(r, i, &text);
	}
	*cell = xstrdup(buf_cstr(&text));
	buf_release(&text);
	b->col[i].number = b->col[i].number && number(*cell);
	width = width_of(*cell);
	if (width > b->col[i].width && width <= WIDTH_MAX)
		b->col[i].width = width;
	return rc;
}

int
box_row(struct box *b)
{
	size_t n = b->rows->n;
	int rc = RC_OK;

	if (b->cell == NULL)
		b->cell =
		    xreallocarray(NULL, LOOK_ROWS * (n + 1), sizeof *b->cell);
	for (size_t i = 0; i < n; i++) {
		int one = take_cell(b, i, &b->cell[b->waiting * n + i]);

		rc = rc == RC_OK ? one : rc;
	}
	if (++b->waiting == LOOK_ROWS || b->begun)
		print_waiting(b);
	return rc;
}

void
box_end(struct box *b)
{
	print_waiting(b);
	free(b->cell);
	free(b->col);
	free(b);
}
