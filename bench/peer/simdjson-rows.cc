// The peer simdjson: each line of stdin by its DOM, which validates all of
// it, and five members looked up.
#include <cstdio>
#include <cstring>
#include <simdjson.h>
#include <unistd.h>
#include <vector>

int
main(int argc, char **argv)
{
	const size_t block = 1 << 20;
	std::vector<char> buffer(3 * block + simdjson::SIMDJSON_PADDING);
	simdjson::dom::parser parser;
	char *b = buffer.data();
	size_t have = 0, rows = 0, bytes = 0;
	ssize_t n;

	while ((n = read(0, b + have, block)) > 0) {
		have += size_t(n);
		char *end = static_cast<char *>(memrchr(b, '\n', have));
		if (end == nullptr)
			continue;
		end++;
		simdjson::dom::document_stream docs;
		if (parser.parse_many(b, size_t(end - b), block).get(docs))
			return 1;
		for (auto doc : docs) {
			simdjson::dom::object o;
			if (doc.get(o))
				return 1;
			for (int i = 1; i < argc; i++) {
				std::string_view text;
				if (!o[argv[i]].get(text))
					bytes += text.size();
			}
			rows++;
		}
		have -= size_t(end - b);
		memmove(b, end, have);
	}
	fprintf(stderr, "simdjson: %zu rows, %zu bytes\n", rows, bytes);
	return 0;
}
