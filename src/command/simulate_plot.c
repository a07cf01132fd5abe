#include "command/simulate_plot.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "metric/histogram.h"

#define WIDTH 720.0
#define ROW 26.0
#define LEFT 170.0
#define BEFORE "#8aa1b8"
#define AFTER "#d9822b"
#define QUANTILES 60

static void escaped(FILE *f, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '&': fputs("&amp;", f); break;
        case '"': fputs("&quot;", f); break;
        default: fputc(*text, f);
        }
    }
}

static void put_bars(FILE *f, const struct simulate_plot *p)
{
    double max = 1;
    for (uint32_t i = 0; i < p->bar_count; i++) {
        if (p->bars[i].before > max) max = p->bars[i].before;
        if (p->bars[i].after > max) max = p->bars[i].after;
    }
    for (uint32_t i = 0; i < p->bar_count; i++) {
        double y = 50 + ROW * i, scale = (WIDTH - LEFT - 80) / max;
        fprintf(f, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\">", LEFT - 8, y + 14);
        escaped(f, p->bars[i].name);
        fprintf(f, "</text><rect x=\"%.0f\" y=\"%.0f\" width=\"%.1f\" height=\"9\" fill=\"" BEFORE "\"/>",
                LEFT, y, p->bars[i].before * scale);
        fprintf(f, "<rect x=\"%.0f\" y=\"%.0f\" width=\"%.1f\" height=\"9\" fill=\"" AFTER "\"/>", LEFT,
                y + 10, p->bars[i].after * scale);
        fprintf(f, "<text x=\"%.1f\" y=\"%.0f\" class=\"small\">%.1f %% → %.1f %%</text>\n",
                LEFT + 6 +
                    (p->bars[i].before > p->bars[i].after ? p->bars[i].before : p->bars[i].after) * scale,
                y + 13, p->bars[i].before, p->bars[i].after);
    }
}

/* The wait against the share of requests that wait no longer, from 40 to 99.9 %. */
static void put_waits(FILE *f, const struct simulate_plot *p, double top)
{
    const uint64_t *sides[] = { p->wait_before, p->wait_after };
    static const char *const colours[] = { BEFORE, AFTER };
    double max = 1;
    for (int side = 0; side < 2; side++) {
        double last = (double)histogram_quantile(sides[side], 0.999) / 1000;
        if (last > max) max = last;
    }
    fprintf(f, "<text x=\"%.0f\" y=\"%.0f\" class=\"title\">wait in ms, by share of requests</text>\n", LEFT,
            top);
    for (int side = 0; side < 2; side++) {
        fprintf(f, "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"%s\" points=\"", colours[side]);
        for (int i = 0; i <= QUANTILES; i++) {
            double q = 0.4 + 0.599 * i / QUANTILES;
            double ms = (double)histogram_quantile(sides[side], q) / 1000;
            fprintf(f, "%.1f,%.1f ", LEFT + (WIDTH - LEFT - 80) * i / QUANTILES, top + 130 - 110 * ms / max);
        }
        fputs("\"/>\n", f);
    }
    fprintf(f, "<text x=\"%.0f\" y=\"%.0f\" class=\"small\">40 %%</text>", LEFT, top + 146);
    fprintf(f, "<text x=\"%.0f\" y=\"%.0f\" class=\"small\" text-anchor=\"end\">99.9 %%</text>", WIDTH - 80,
            top + 146);
    fprintf(f, "<text x=\"%.0f\" y=\"%.0f\" class=\"small\" text-anchor=\"end\">%.1f</text>\n", LEFT - 8,
            top + 24, max);
}

int simulate_plot_write(const struct simulate_plot *p, const char *path, struct err *err)
{
    FILE *f = fopen(path, "we");
    if (!f) return err_set(err, "cannot write %s: %s", path, strerror(errno));
    double waits = 80 + ROW * p->bar_count, height = waits + 170;
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\" "
            "font-size=\"13\">\n<style>.small{font-size:11px;fill:#555}.title{font-weight:bold}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            WIDTH, height);
    fprintf(f, "<text x=\"%.0f\" y=\"28\" class=\"title\">pool ", LEFT);
    escaped(f, p->pool);
    fputs(": share of requests, <tspan fill=\"" BEFORE "\">before</tspan> and <tspan fill=\"" AFTER
          "\">after</tspan></text>\n",
          f);
    put_bars(f, p);
    put_waits(f, p, waits);
    fputs("</svg>\n", f);
    bool has_failed = ferror(f) != 0;
    if (fclose(f) == EOF || has_failed) return err_set(err, "cannot write %s", path);
    return 0;
}
