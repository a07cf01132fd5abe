/* A whole worker on one thread and a virtual clock: the test is the client and the servers, over real sockets on
 * loopback, and says when time passes. */
#pragma once

#include "conf/decode.h"
#include "proxy/exchange.h"
#include "proxy/proxy_conf.h"
#include "route/route_conf.h"

#define SERVERS 2

struct scene {
    struct pool_conf pool;
    struct listener_conf listener;
    struct server_conf servers[SERVERS];
    struct route_conf routes[1];
    struct proxy_conf conf;
    struct conf_option method;
    uint32_t retry_on[3]; /* the pool's: connect and reset, and room for a status */
    struct proxy *proxy;
    struct worker *worker;
    struct loop control;
    struct budget budget;
    struct mailbox *box;
    int listening[SERVERS]; /* the servers' sockets; -1: refuses */
    uint16_t ports[SERVERS], port;
    int locks[SERVERS + 1]; /* of the ports */
    uint32_t more_workers;  /* that the test turns itself */
};

/* What a test changes in between is what the scene is started with. */
void scene_open(struct scene *s, bool is_tcp);
void scene_start(struct scene *s);
/* Nothing may be left: no exchange, no connection, no block, no timer. */
void scene_close(struct scene *s);
void one_server(struct scene *s);
/* So many turns, none of which waits. */
void turns(struct scene *s, int count);
void pass_time(struct scene *s, uint64_t ms);

int client_connect(struct scene *s);
int server_accept(struct scene *s, int which);
/* Somebody has connected to it. */
bool is_asked(struct scene *s, int which, int *fd);
/* Whichever server is asked first: the connection to it, with the request read up to `ending`. */
int first_asked(struct scene *s, const char *ending, int *which);
bool nobody_is_asked(struct scene *s);
void say(int fd, const char *text);
/* Until `ending` has come at the end of what is read; what came is returned in a static buffer. */
const char *hear(struct scene *s, int fd, const char *ending);
/* What comes until the end of the stream; "RESET" is added for a reset. */
const char *hear_all(struct scene *s, int fd);
struct flight_record last_record(struct scene *s);
