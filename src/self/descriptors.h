/* self/descriptors.h: what of the process's descriptors is in use. Any thread. */
#pragma once

/* How many are open; no number: that cannot be found out, which before Linux 6.2 takes one more. */
double descriptors_open(void);
