/*
 * What the gateway has done and is doing, in the text format of Prometheus.
 */
#ifndef FF_METRICS_H
#define FF_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "wire/http.h"

/* Bytes from and to clients. */
extern void ff_metrics_received(size_t length);
extern void ff_metrics_sent(size_t length);

/* Adds everything the gateway knows. `is_up`: the database answers. */
extern void ff_metrics_write(FfBuffer *out, bool is_up);

/*
 * GET /metrics is a route of the database like others, whose answer is put behind what the gateway
 * knows. It is kept for a second, for whoever comes with the same credentials.
 */
#define FF_METRICS_PATH "/metrics"

/* What stands for the credentials of a request. */
typedef struct FfMetricsKey
{
	unsigned char digest[32];
} FfMetricsKey;

extern void ff_metrics_key(FfMetricsKey *key, const FfHttpHead *head);

/* Keeps what the database has told to this key. */
extern void ff_metrics_keep(const FfMetricsKey *key, const char *text, size_t length);

/* Adds the whole page: from what was kept, if it is still fresh; or, when the database is away,
 * what the gateway alone knows, for who was let in before. False: it is to be asked. */
extern bool ff_metrics_page(FfBuffer *out, const FfMetricsKey *key, bool is_away);

#endif
