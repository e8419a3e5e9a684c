/*
 * The gateway: turns HTTP into calls of flowforge.serve() in the database.
 */
#ifndef FF_SERVE_H
#define FF_SERVE_H

#include "base/config.h"

/*
 * Listens and serves until SIGTERM or SIGINT, then drains: no new connections, requests in flight
 * are finished (10 s at most), live streams end. Gives the program's exit code: 0 after a drain, 1
 * when the address cannot be had. The database may be away at any time, also at the start.
 */
extern int ff_serve(const FfConfig *config);

#endif
