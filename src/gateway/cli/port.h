/*
 * Ports of this machine.
 */
#ifndef FF_PORT_H
#define FF_PORT_H

/* What keeps a program from listening on 127.0.0.1 and a port: 0 nothing, else an errno. */
extern int ff_port_taken(int port);

#endif
