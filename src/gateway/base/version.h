/*
 * Which FlowForge this is; the build says it.
 */
#ifndef FF_VERSION_H
#define FF_VERSION_H

#ifndef FF_VERSION
#define FF_VERSION "0.1.0"
#endif

#endif
