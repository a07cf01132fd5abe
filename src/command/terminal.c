#include "command/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/printable.h"

#define COLUMNS_PRESET 80
#define ROWS_PRESET 24
/* How long the rest of a key's sequence may take: what comes alone is the key Escape. */
#define SEQUENCE_MS 30

/* The terminal is the process's, as its signals are. */
static struct {
    struct termios before;
    bool is_open, has_colors;
    FILE *out;
} terminal;
static volatile sig_atomic_t was_resized, was_ended;

static void on_signal(int number)
{
    if (number == SIGWINCH)
        was_resized = 1;
    else
        was_ended = 1;
}

static void take_signals(void)
{
    static const int numbers[] = { SIGWINCH, SIGINT, SIGTERM, SIGHUP };
    struct sigaction action = { .sa_handler = on_signal };
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) sigaction(numbers[i], &action, NULL);
}

int terminal_open(struct err *err)
{
    const char *kind = getenv("TERM"), *no_color = getenv("NO_COLOR");
    if (!isatty(0) || !isatty(1)) return err_set(err, "this is no terminal; --once prints it once");
    if (!kind || !*kind || strcmp(kind, "dumb") == 0)
        return err_set(err, "this terminal (TERM=%.32s) cannot be painted; --once prints it once",
                       kind ? kind : "");
    if (tcgetattr(0, &terminal.before) < 0)
        return err_set(err, "the terminal does not answer: %s", strerror(errno));
    struct termios raw = terminal.before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    take_signals();
    if (tcsetattr(0, TCSADRAIN, &raw) < 0)
        return err_set(err, "the terminal does not take its settings: %s", strerror(errno));
    terminal.is_open = true;
    terminal.out = printable_past(1);
    terminal.has_colors = (!no_color || !*no_color) && strncmp(kind, "vt", 2) != 0;
    /* The other screen, so that what stood there comes back; no cursor; what is too wide is cut, not wrapped. */
    fputs("\033[?1049h\033[?25l\033[?7l", terminal.out);
    fflush(terminal.out);
    return 0;
}

void terminal_close(void)
{
    if (!terminal.is_open) return;
    fputs("\033[0m\033[?7h\033[?25h\033[?1049l", terminal.out);
    fflush(terminal.out);
    tcsetattr(0, TCSAFLUSH, &terminal.before);
    terminal.is_open = false;
}

void terminal_size(uint32_t *columns, uint32_t *rows)
{
    struct winsize size = { 0 };
    if (ioctl(1, TIOCGWINSZ, &size) < 0) size = (struct winsize){ 0 };
    *columns = size.ws_col ? size.ws_col : COLUMNS_PRESET;
    *rows = size.ws_row ? size.ws_row : ROWS_PRESET;
}

bool terminal_has_colors(void)
{
    return terminal.has_colors;
}

/* keys */

/* 0: nothing in time; -1: the end, or a signal. */
static int read_byte(int wait_ms, unsigned char *byte)
{
    struct pollfd fd = { .fd = 0, .events = POLLIN };
    int ready = poll(&fd, 1, wait_ms);
    if (ready <= 0) return ready;
    return read(0, byte, 1) == 1 ? 1 : -1;
}

static enum terminal_key key_of(unsigned char final, unsigned number)
{
    switch (final) {
    case 'A': return KEY_UP;
    case 'B': return KEY_DOWN;
    case 'C': return KEY_RIGHT;
    case 'D': return KEY_LEFT;
    case 'H': return KEY_HOME;
    case 'F': return KEY_LAST;
    case '~': break;
    default: return KEY_OTHER;
    }
    switch (number) {
    case 1: return KEY_HOME;
    case 4: return KEY_LAST;
    case 5: return KEY_PAGE_UP;
    case 6: return KEY_PAGE_DOWN;
    default: return KEY_OTHER;
    }
}

/* What follows ESC: "[A", "OA", "[5~", "[1;5A". */
static enum terminal_key read_sequence(void)
{
    unsigned char byte;
    unsigned number = 0;
    if (read_byte(SEQUENCE_MS, &byte) <= 0) return KEY_ESCAPE;
    if (byte != '[' && byte != 'O') return KEY_OTHER;
    for (int i = 0; i < 16 && read_byte(SEQUENCE_MS, &byte) > 0; i++) {
        if (byte >= '@' && byte <= '~') return key_of(byte, number);
        if (byte >= '0' && byte <= '9' && number < 100) number = number * 10 + byte - '0';
    }
    return KEY_OTHER;
}

enum terminal_key terminal_key(uint32_t wait_ms)
{
    unsigned char byte;
    if (was_ended) return KEY_END;
    if (was_resized) {
        was_resized = 0;
        return KEY_RESIZED;
    }
    int got = read_byte((int)wait_ms, &byte);
    if (got == 0) return KEY_NONE;
    if (got < 0) return was_resized ? (was_resized = 0, KEY_RESIZED) : KEY_END;
    if (byte == 27) return read_sequence();
    if (byte == '\r' || byte == '\n') return KEY_ENTER;
    if (byte == 127 || byte == 8) return KEY_ERASE;
    if (byte == 4) return KEY_END;
    return byte >= KEY_CHARACTER && byte < 127 ? (enum terminal_key)byte : KEY_OTHER;
}

/* painting */

void terminal_paint_begin(struct terminal_paint *p)
{
    *p = (struct terminal_paint){ .out = terminal.out };
    terminal_size(&p->columns, &p->rows);
    fputs("\033[H", p->out);
}

/* As much as stands on one line. */
static int cut(const char *text, uint32_t columns)
{
    uint32_t width = 0;
    int at = 0;
    while (text[at] && width++ < columns) {
        at++;
        while (((unsigned char)text[at] & 0xc0) == 0x80) at++; /* the rest of a character of UTF-8 */
    }
    return at;
}

void terminal_paint_line(struct terminal_paint *p, const char *style, const char *text)
{
    if (p->lines == p->rows) return;
    if (p->lines++) fputs("\r\n", p->out);
    if (style) fprintf(p->out, "\033[%sm", style);
    fprintf(p->out, "%.*s", cut(text, p->columns), text);
    fputs(style ? "\033[0m\033[K" : "\033[K", p->out);
}

void terminal_paint_end(struct terminal_paint *p)
{
    fputs("\033[J", p->out);
    fflush(p->out);
}
