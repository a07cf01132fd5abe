/* proxy/tcp.h: a connection of a tcp listener: chooses a server, connects, and is a tunnel from then on. */
#pragma once

#include "proxy/worker.h"

/* Takes `fd`. The client is counted already. */
void tcp_start(struct listener_worker *lw, int fd, const struct address *client, uint64_t id);
/* What worker->sessions is made of. */
size_t tcp_session_size(void);
