/*
 * A server for tests: answers N requests on the loopback with 200 and keeps
 * their first lines. usage: answer PORT-FILE LINES-FILE N
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int
listen_here(const char *port_file)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof a;
	int s = socket(AF_INET, SOCK_STREAM, 0);
	FILE *f;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (s < 0 || bind(s, (struct sockaddr *)&a, len) < 0 ||
	    listen(s, 8) < 0 || getsockname(s, (struct sockaddr *)&a, &len) < 0)
		return -1;
	if ((f = fopen(port_file, "w")) == NULL)
		return -1;
	fprintf(f, "%u\n", (unsigned)ntohs(a.sin_port));
	return fclose(f) == 0 ? s : -1;
}

static void
answer(int c, int lines)
{
	static const char ok[] =
	    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
	char b[4096];
	ssize_t n = read(c, b, sizeof b - 1);
	size_t line;

	if (n <= 0)
		return;
	b[n] = '\0';
	line = strcspn(b, "\r\n");
	b[line] = '\n';
	if (write(lines, b, line + 1) < 0 || write(c, ok, sizeof ok - 1) < 0)
		perror("answer");
}

int
main(int argc, char **argv)
{
	int s, lines, c;

	if (argc != 4 || (s = listen_here(argv[1])) < 0)
		return 1;
	lines = open(argv[2], O_WRONLY | O_CREAT | O_APPEND, 0600);
	alarm(30);
	for (int i = atoi(argv[3]); i > 0; i--) {
		if ((c = accept(s, NULL, NULL)) < 0)
			return 1;
		answer(c, lines);
		close(c);
	}
	close(lines);
	close(s);
	return 0;
}
