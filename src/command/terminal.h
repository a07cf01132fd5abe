/* command/terminal.h: a terminal that is painted and listened to key by key, and left as it was found. It is steered by ECMA-48
 * alone, which every terminal in use speaks: to the left upper corner, clear the rest of a line, the rest of the screen,
 * reverse, colours. One thread, one terminal a process. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum terminal_key {
    KEY_NONE, /* nothing came in time */
    KEY_END,  /* nobody is there any more, or a signal asked for the end */
    KEY_RESIZED,
    KEY_UP,
    KEY_DOWN,
    KEY_LEFT,
    KEY_RIGHT,
    KEY_PAGE_UP,
    KEY_PAGE_DOWN,
    KEY_HOME,
    KEY_LAST,
    KEY_ENTER,
    KEY_ESCAPE,
    KEY_ERASE,
    KEY_OTHER,         /* none that is known here */
    KEY_CHARACTER = 32 /* and from here to 126 what was typed */
};

/* -1: there is no terminal, or it is one that cannot be painted. */
MUST_CHECK int terminal_open(struct err *err);
void terminal_close(void);
/* Neither is 0. */
void terminal_size(uint32_t *columns, uint32_t *rows);
bool terminal_has_colors(void);
/* Waits at most so long. */
enum terminal_key terminal_key(uint32_t wait_ms);

/* One screen, put together line by line and cut at the edges, then painted over the one before. */
struct terminal_paint {
    FILE *out;
    uint32_t columns, rows, lines;
};
void terminal_paint_begin(struct terminal_paint *p);
/* A line of text without control characters; style: of SGR, like "7" (reverse); NULL: plain. What is below the last line of the
 * terminal is left out. */
void terminal_paint_line(struct terminal_paint *p, const char *style, const char *text);
void terminal_paint_end(struct terminal_paint *p);
