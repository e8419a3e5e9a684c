/*
 * OpenSSL on non-blocking sockets. Renegotiation is off, so that after the handshake reading only
 * reads and writing only writes.
 */
#define _GNU_SOURCE
#include "wire/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "base/log.h"

#define MOST_WRITTEN (1024 * 1024) /* at once: others wait meanwhile */

static SSL_CTX	  *context; /* NULL: connections are plain */
static const char *certificate_file;
static const char *key_file;

/* The first error that OpenSSL has kept, in words. */
static const char *
reason(void)
{
	static char	  text[256];
	unsigned long error = ERR_get_error();

	if (error == 0)
		return "it cannot be used";
	ERR_error_string_n(error, text, sizeof(text));
	ERR_clear_error();
	return text;
}

/* A key with a passphrase is refused: there is nobody to ask. */
static int
no_passphrase(char *buffer, int size, int is_writing, void *argument)
{
	(void) buffer, (void) size, (void) is_writing, (void) argument;
	return 0;
}

/* HTTP/1.1 is what we speak; who offers other protocols only is told so. */
static int
choose_protocol(SSL *tls, const unsigned char **chosen, unsigned char *length,
				const unsigned char *offered, unsigned int offered_length, void *argument)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char			  *found;

	(void) tls, (void) argument;
	if (SSL_select_next_proto(&found, length, ours, sizeof(ours) - 1, offered, offered_length) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*chosen = found;
	return SSL_TLSEXT_ERR_OK;
}

static bool
read_files(SSL_CTX *made, const char *certificate, const char *key)
{
	const char *wrong = NULL;

	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(made, certificate) != 1)
		wrong = certificate;
	else if (SSL_CTX_use_PrivateKey_file(made, key, SSL_FILETYPE_PEM) != 1 ||
			 SSL_CTX_check_private_key(made) != 1)
		wrong = key;
	if (wrong != NULL)
		ff_log("error", "cannot use %s for TLS: %s", wrong, reason());
	return wrong == NULL;
}

bool
ff_tls_open(const char *certificate, const char *key)
{
	SSL_CTX *made;

	if (certificate == NULL)
		return true;
	made = SSL_CTX_new(TLS_server_method());
	if (made == NULL || SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION) != 1)
	{
		ff_log("error", "cannot use TLS: %s", reason());
		SSL_CTX_free(made);
		return false;
	}
	SSL_CTX_set_default_passwd_cb(made, no_passphrase);
	SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
								  SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
							   SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_alpn_select_cb(made, choose_protocol, NULL);
	if (!read_files(made, certificate, key))
	{
		SSL_CTX_free(made);
		return false;
	}
	SSL_CTX_free(context); /* connections made with it keep it */
	context = made;
	certificate_file = certificate;
	key_file = key;
	return true;
}

void
ff_tls_reload(void)
{
	if (context == NULL)
		return;
	if (ff_tls_open(certificate_file, key_file))
		ff_log("info", "%s is used for new connections", certificate_file);
	else
		ff_log("warning", "the certificate read before is still used");
}

void
ff_tls_close(void)
{
	SSL_CTX_free(context);
	context = NULL;
}

bool
ff_tls_is_open(void)
{
	return context != NULL;
}

FfTls *
ff_tls_accept(int fd)
{
	SSL *tls = SSL_new(context);

	if (tls == NULL || SSL_set_fd(tls, fd) != 1)
	{
		SSL_free(tls);
		return NULL;
	}
	SSL_set_accept_state(tls);
	return tls;
}

void
ff_tls_free(FfTls *tls)
{
	SSL_free(tls);
}

/* What a result of OpenSSL is in the terms of recv and send. A peer that goes without a word is one
 * that has gone: HTTP says itself where its messages end. */
static ssize_t
outcome(FfTls *tls, int result, int later)
{
	int error = SSL_get_error(tls, result);

	if (result > 0)
		return result;
	if (error == SSL_ERROR_ZERO_RETURN)
		return 0;
	errno = error == later || error == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
	return -1;
}

ssize_t
ff_tls_read(FfTls *tls, void *bytes, size_t length)
{
	ERR_clear_error();
	return outcome(tls, SSL_read(tls, bytes, length < INT_MAX ? (int) length : INT_MAX),
				   SSL_ERROR_WANT_READ);
}

/* OpenSSL writes a record at a time. What stops it after some comes back at the next call. */
ssize_t
ff_tls_write(FfTls *tls, const void *bytes, size_t length)
{
	size_t written = 0;
	int	   result = 1;

	ERR_clear_error();
	length = length < MOST_WRITTEN ? length : MOST_WRITTEN;
	while (written < length && result > 0)
	{
		result = SSL_write(tls, (const char *) bytes + written, (int) (length - written));
		written += result > 0 ? (size_t) result : 0;
	}
	return written > 0 ? (ssize_t) written : outcome(tls, result, SSL_ERROR_WANT_WRITE);
}

bool
ff_tls_is_made(const FfTls *tls)
{
	return SSL_is_init_finished(tls) == 1;
}

bool
ff_tls_wants_write(const FfTls *tls)
{
	return SSL_want_write(tls);
}

void
ff_tls_end(FfTls *tls)
{
	ERR_clear_error();
	if (SSL_is_init_finished(tls))
		SSL_shutdown(tls);
	ERR_clear_error();
}
