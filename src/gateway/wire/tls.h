/*
 * TLS for client connections: certificate and key from files, TLS 1.2 or later, nothing blocks.
 */
#ifndef FF_TLS_H
#define FF_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* At least so much room has a read: what a record holds at most. None of it is then left behind
 * where the loop does not see it. */
#define FF_TLS_RECORD 16384

typedef struct ssl_st FfTls;

/* Reads certificate (with its chain) and key, both PEM. False, and why is logged, when they cannot
 * be used; what was read before then stays. Without certificate (NULL) connections are plain. */
extern bool ff_tls_open(const char *certificate, const char *key);

/* Reads them again, for connections to come. */
extern void ff_tls_reload(void);
extern void ff_tls_close(void);
extern bool ff_tls_is_open(void);

/* A connection on an accepted socket, which stays the caller's; NULL when there is no memory. */
extern FfTls *ff_tls_accept(int fd);
extern void	  ff_tls_free(FfTls *tls);

/* As recv and send are: the bytes, 0 at the end, or -1 with errno (EAGAIN: later). The handshake is
 * done on the way. */
extern ssize_t ff_tls_read(FfTls *tls, void *bytes, size_t length);
extern ssize_t ff_tls_write(FfTls *tls, const void *bytes, size_t length);

/* Whether the handshake is over. */
extern bool ff_tls_is_made(const FfTls *tls);

/* Whether a read waits until something can be written. */
extern bool ff_tls_wants_write(const FfTls *tls);

/* Tells the client that nothing follows. */
extern void ff_tls_end(FfTls *tls);

#endif
