/*
 * Ports of this machine: see port.h.
 */
#define _GNU_SOURCE
#include "cli/port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int
ff_port_taken(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
	int				   sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int				   one = 1;
	int				   problem = 0;

	if (sock < 0)
		return errno;
	inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
	setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(sock, (struct sockaddr *) &address, sizeof(address)) != 0)
		problem = errno;
	close(sock);
	return problem;
}
