/* control/departure.h: how a running weir leaves: it drains, by itself or because another binary has taken over. Control thread. */
#pragma once

#include "control/control.h"

/* Once the proxy is there. */
void departure_init(struct control *c);
/* Takes nothing new from now on; the loop stops when what was begun has ended. */
void departure_begin(struct control *c);
/* Where something was given, another binary can be started that takes over. */
MUST_CHECK int departure_open_upgrade(struct control *c, struct err *err);
