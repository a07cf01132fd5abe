/* proxy/shed.h: memory is short. Rather than that everybody who comes is refused for the sake of those who were here before, connections
 * end in the order of what is lost with them (docs/decisions/0066). A worker's own. */
#pragma once

struct shed;
struct worker;

void shed_init(struct shed *s);
void shed_fini(struct shed *s);
/* Somebody was refused for want of memory. Whoever ends for it does so later: first those whose work is of no use to anybody. */
void shed_ask(struct worker *w);
/* That is about to be: only those end. */
void shed_ask_soon(struct worker *w);
