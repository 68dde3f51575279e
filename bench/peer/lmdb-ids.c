/*
 * The peer LMDB: event ids on stdin, one a line, inserted if absent in sorted
 * batches of 100 000, one durable commit each. The key is binary: the id's
 * time, then 16 bytes of its digest. Built only where LMDB is (bench/peers).
 */
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define BATCH 100000
#define KEY 25

static unsigned char keys[BATCH][KEY];

static int
by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, KEY);
}

/* app:YYYYMMDDHHMISSmmm:hex */
static void
key_of(const char *line, unsigned char *key)
{
	const char *stamp = strchr(line, ':'), *hex;

	if (stamp == NULL || (hex = strchr(stamp + 1, ':')) == NULL)
		exit(fprintf(stderr, "not an event id: %s\n", line) > 0);
	for (int i = 0; i < 9; i++)
		key[i] = (unsigned char)((stamp[1 + 2 * i] - '0') * 10 +
		    (i < 8 ? stamp[2 + 2 * i] - '0' : 0));
	for (int i = 0; i < 16; i++) {
		unsigned v = 0;

		sscanf(hex + 1 + 2 * i, "%2x", &v);
		key[9 + i] = (unsigned char)v;
	}
}

static void
need(int rc)
{
	if (rc != 0)
		exit(fprintf(stderr, "lmdb: %s\n", mdb_strerror(rc)) > 0);
}

static size_t
insert(MDB_env *env, size_t n)
{
	MDB_txn *txn;
	MDB_dbi dbi;
	size_t fresh = 0;

	qsort(keys, n, KEY, by_bytes);
	need(mdb_txn_begin(env, NULL, 0, &txn));
	need(mdb_dbi_open(txn, NULL, MDB_CREATE, &dbi));
	for (size_t i = 0; i < n; i++) {
		MDB_val k = {KEY, keys[i]}, v = {0, NULL};
		int rc = mdb_put(txn, dbi, &k, &v, MDB_NOOVERWRITE);

		if (rc != MDB_KEYEXIST)
			need(rc);
		fresh += rc == 0;
	}
	need(mdb_txn_commit(txn));
	return fresh;
}

int
main(int argc, char **argv)
{
	MDB_env *env;
	char line[512];
	size_t n = 0, fresh = 0;

	if (argc != 2)
		exit(64);
	need(mdb_env_create(&env));
	need(mdb_env_set_mapsize(env, 8ul << 30));
	need(mdb_env_open(env, argv[1], 0, 0600));
	while (fgets(line, sizeof(line), stdin) != NULL) {
		key_of(line, keys[n++]);
		if (n == BATCH) {
			fresh += insert(env, n);
			n = 0;
		}
	}
	fresh += insert(env, n);
	mdb_env_close(env);
	fprintf(stderr, "%zu new ids\n", fresh);
	return 0;
}
