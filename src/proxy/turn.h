/* proxy/turn.h: how much a worker does in one turn of what concerns all of something, so that everybody else has his (decision 0062). */
#pragma once

/* So many connections are closed, or sixteen times as many looked at. */
#define ROUND_CLOSES 128u
