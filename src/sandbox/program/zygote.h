/*
 * zygote.h - takes orders, forks children, and tells of their end.
 */
#ifndef FFS_ZYGOTE_H
#define FFS_ZYGOTE_H

/* Until whoever gives the orders is gone. The engine has started and the zygote is in its jail. */
extern int zygote_serve(void);

#endif
