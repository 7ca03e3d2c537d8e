"use strict";
(async () => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const outcomes = data.outcomes;

  // Numbers ---------------------------------------------------------------------------------

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const floats = (packed) => {
    const codes = new Uint16Array(bytes(packed.codes).buffer);
    const scale = (packed.high - packed.low) / 65534;
    return (i) => {
      if (codes[i] === 65535) return null;
      const value = packed.low + codes[i] * scale;
      return packed.log ? Math.exp(value) : value;
    };
  };
  const shown = (x, digits = 4) =>
    x === null ? "never" : x.toLocaleString("en", { maximumSignificantDigits: digits });
  const whole = (x) => Math.round(x).toLocaleString("en");

  // Words -----------------------------------------------------------------------------------

  const axisName = (axis, i) => (axis.column ? `${axis.label} ${axis.names[i]}` : "");
  const cellName = (i) =>
    [axisName(data.across, data.cells.x[i]), axisName(data.up, data.cells.y[i])]
      .filter(Boolean).join(", ") || "all lanes";
  const laneName = (lane) => {
    const columns = Object.entries(data.lanes.columns)
      .map(([name, values]) => [name.replaceAll("_", " "), values[lane]])
      .filter(([, value]) => value !== null && value !== "");
    return columns.map(([name, value]) => `${name} ${value}`).join(", ") || `lane ${lane}`;
  };
  const countsOf = (i) =>
    data.cells.outcomes
      .map((name, k) => [data.cells.counts[i][k], outcomes[keys.indexOf(name)][0]])
      .filter(([count]) => count)
      .map(([count, name]) => `${count} ${name}`).join(", ");
  const keys = ["grokked", "memorized", "underfit", "diverged", "interrupted"];
  const members = data.cells.x.map(() => []);
  data.lanes.cell.forEach((cell, lane) => members[cell].push(lane));
  const medianOf = (found) => {
    const [median, low, high] = found.median;
    const end = `beyond ${whole(found.end)}`;
    const [p, pLow, pHigh] = found.probability;
    const probability =
      `Probability of grokking ${shown(p, 2)} (95 % interval ${shown(pLow, 2)} to ${shown(pHigh, 2)}).`;
    if (median === null)
      return `The median grokking step was not reached by step ${whole(found.end)}. ${probability}`;
    const interval = `95 % interval ${whole(low)} to ${high === null ? end : whole(high)}`;
    return `Median grokking step ${whole(median)} (${interval}). ${probability}`;
  };
  const describe = (i) => {
    const found = data.cells.survival[i];
    const start = `${cellName(i)}: ${countsOf(i)}.`;
    if (found) return `${start} ${medianOf(found)}`;
    const lane = members[i][0];
    const step = data.lanes.grokking[lane];
    return step === null
      ? `${start} Trained for ${whole(data.lanes.final[lane])} steps.`
      : `${start} It grokked at step ${whole(step)}.`;
  };

  // Charts ----------------------------------------------------------------------------------

  const options = {
    actions: { export: true, source: false, compiled: false, editor: false },
    logLevel: 1, // errors: a cell without curves is none
  };
  const draw = async (id, spec, sets, renderer = "svg") => {
    const whole = { ...structuredClone(spec), datasets: sets };
    return (await vegaEmbed($(id), whole, { ...options, renderer })).view;
  };
  const update = (view, sets) => {
    for (const [name, rows] of Object.entries(sets)) view.data(name, rows);
    return view.runAsync();
  };

  // The grid

  const legend = keys.filter((name) => data.cells.outcomes.includes(name));
  for (const name of legend) {
    const [words, colour] = outcomes[keys.indexOf(name)];
    const entry = document.createElement("span");
    entry.className = "key";
    const box = document.createElement("i");
    box.style.background = colour;
    entry.append(box, words);
    $("legend").append(entry);
  }
  const corners = (i) => {
    const [x, y] = [data.cells.x[i], data.cells.y[i]];
    return { i, x0: x, x1: x + 1, y0: y, y1: y + 1 };
  };
  const shares = [];
  const cells = data.cells.x.map((_, i) => {
    const total = members[i].length;
    let start = 0;
    data.cells.outcomes.forEach((name, k) => {
      const count = data.cells.counts[i][k];
      if (!count) return;
      const place = { ...corners(i), x0: data.cells.x[i] + start };
      start += count / total;
      place.x1 = data.cells.x[i] + start;
      shares.push({ ...place, outcome: outcomes[keys.indexOf(name)][0] });
    });
    const found = data.cells.survival[i];
    const median = found ? found.median[0] : data.lanes.grokking[members[i][0]];
    return {
      ...corners(i), cell: cellName(i), lanes: countsOf(i),
      median: median === null ? "not reached" : `step ${whole(median)}`,
    };
  });
  const many = cells.length > 600 ? "canvas" : "svg";
  const grid = await draw("grid", data.charts.grid, { shares, cells, marked: [] }, many);

  // The curves

  const points = data.curves.points;
  const steps = new Float32Array(bytes(data.curves.steps).buffer);
  const measured = Object.fromEntries(
    Object.entries(data.curves.measures).map(([name, packed]) => [name, floats(packed)])
  );
  const rowOf = new Map(data.curves.lanes.map((lane, row) => [lane, row]));
  const curvesOf = (lanes, name, kind) => {
    const rows = [];
    for (const lane of lanes) {
      const row = rowOf.get(lane);
      if (row === undefined) continue;
      const outcome = outcomes[data.lanes.outcome[lane]][0];
      const words = laneName(lane);
      for (let i = row * points; i < (row + 1) * points && steps[i] >= 0; i++) {
        const value = measured[name](i);
        if (value !== null)
          rows.push({ lane: `${lane} ${kind}`, name: words, kind, outcome, step: steps[i], value });
      }
    }
    return rows;
  };
  // What a chart can show: a measurement, or both rows of an accuracy or a loss.
  const quantities = new Map();
  for (const [name, { label }] of Object.entries(data.curves.measures)) {
    const pair = name.replace(/^(train|test)_/, "");
    const two = pair !== name && measured[`train_${pair}`] && measured[`test_${pair}`];
    if (two) quantities.set(pair, [pair, [`train_${pair}`, "training"], [`test_${pair}`, "test"]]);
    else quantities.set(name, [label, [name, name.startsWith("train_") ? "training" : "test"]]);
  }
  const rowsOf = (lanes, quantity) =>
    quantities.get(quantity).slice(1).flatMap(([name, kind]) => curvesOf(lanes, name, kind));
  const curveSpec = (quantity) => {
    const spec = structuredClone(data.charts.curves);
    const { x, y } = spec.layer[0].encoding;
    if ($("linear").checked) {
      x.scale = { type: "linear", nice: false };
      x.axis = { labelOverlap: true };
    }
    y.title = quantities.get(quantity)[0];
    const names = quantities.get(quantity).slice(1).map(([name]) => data.curves.measures[name]);
    if (quantity === "accuracy") y.scale = { domain: [-0.01, 1.02], nice: false };
    else if (names.every((packed) => packed.log)) {
      y.scale = { type: "log" };
      y.axis = { format: ".0e", tickCount: 6 };
    }
    return spec;
  };
  for (const [name, [label]] of quantities)
    if (name !== "accuracy") $("measure").append(new Option(label, name));
  const none = { curves: [], cursor: [] };
  const second = () => $("measure").value;
  let accuracy, other;
  const drawCurves = async () => {
    accuracy?.finalize();
    other?.finalize();
    accuracy = await draw("accuracy", curveSpec("accuracy"), none);
    $("second").textContent = second() ? quantities.get(second())[0] : "";
    other = second() ? await draw("other", curveSpec(second()), none) : null;
  };

  // Survival

  const survivalRows = (found, who) => {
    const rows = found.step.map((step, i) => ({
      who, step, share: found.share[i], low: found.low[i], high: found.high[i],
    }));
    const last = rows[rows.length - 1];
    return last.step < found.end ? [...rows, { ...last, step: found.end }] : rows;
  };
  const censoredRows = (found, who) =>
    found.censored.map((step) => {
      let i = 0;
      while (i + 1 < found.step.length && found.step[i + 1] <= step) i++;
      return { who, step, share: found.share[i] };
    });
  const survivalOf = (i) => {
    const sets = [[data.all, "all lanes"]];
    if (i !== null && data.cells.survival[i]) sets.push([data.cells.survival[i], "this cell"]);
    return {
      survival: sets.flatMap((set) => survivalRows(...set)),
      censored: sets.flatMap((set) => censoredRows(...set)),
    };
  };

  // One cell at a time

  let picked = null;
  let current = null;
  const show = async (i) => {
    current = i;
    $("about").textContent = describe(i);
    const lanes = members[i];
    const drawn = lanes.filter((lane) => rowOf.has(lane)).slice(0, 60);
    if (drawn.length < lanes.length)
      $("about").textContent += ` Curves of ${drawn.length} of ${lanes.length} lanes.`;
    $("who").textContent = data.cells.survival[i]
      ? `Kaplan-Meier curves with 95 % bands: all lanes, and ${cellName(i)}`
      : "Kaplan-Meier curve with its 95 % band: all lanes";
    $("grid").dataset.cell = cellName(i);
    await Promise.all([
      update(grid, { marked: [corners(i)] }),
      update(accuracy, { curves: rowsOf(drawn, "accuracy") }),
      other && update(other, { curves: rowsOf(drawn, second()) }),
      update(survival, survivalOf(i)),
    ]);
  };
  const lanesAt = data.times.lanes;
  const groups = Math.max(1, data.times.groups.length);
  const placeOf = (x, group) => x + 0.1 + (0.8 * (group + 0.5)) / groups;
  const kinds = ["not grokked by then", "grokked"];
  const laneRows = lanesAt.map((lane, i) => {
    const cell = data.lanes.cell[lane];
    // A place of its own beside its median, the same one every time.
    const jitter = (0.8 / groups) * (((lane * 0.61803398875) % 1) - 0.5);
    const group = data.times.groups.length ? data.cells.y[cell] : 0;
    return {
      x: placeOf(data.cells.x[cell], group) + jitter, step: data.times.step[i], kind: kinds[data.times.grokked[i]],
      group: data.times.groups[group] ?? "", name: laneName(lane),
    };
  });
  const medianRows = data.times.medians.map((row) => ({
    x: placeOf(row.x, row.group),
    median: row.median, reached: row.median !== null, open: row.high === null,
    low: Math.min(row.low ?? row.end, row.end), high: row.high ?? row.end,
    cell: axisName(data.across, row.x) || "all lanes",
    group: data.times.groups[row.group] ?? "",
    about: row.median === null ? "not reached" : `step ${whole(row.median)}`,
    lanes: `${row.grokked} of ${row.n} grokked`,
  }));
  const marks = { lanes: laneRows, medians: medianRows };
  await draw("times", data.charts.times, marks, laneRows.length > 600 ? "canvas" : "svg");
  const survival = await draw("survival", data.charts.survival, survivalOf(null));
  await drawCurves();

  let waiting = null;
  const soon = (i) => {
    waiting = i;
    requestAnimationFrame(() => {
      if (waiting !== null && waiting !== current) show(waiting);
      waiting = null;
    });
  };
  const datumCell = (item) => item?.datum?.i ?? null;
  grid.addEventListener("pointermove", (_, item) => {
    const i = datumCell(item);
    if (i !== null && picked === null) soon(i);
  });
  grid.addEventListener("click", (_, item) => {
    const i = datumCell(item);
    if (i === null) return;
    picked = picked === i ? null : i;
    show(i);
  });
  const at = new Map(cells.map(({ i, x0, y0 }) => [`${x0} ${y0}`, i]));
  $("grid").addEventListener("keydown", (event) => {
    const move = {
      ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1],
    }[event.key];
    if (!move) return;
    event.preventDefault();
    let [x, y] = [data.cells.x[current] + move[0], data.cells.y[current] + move[1]];
    while (x >= 0 && y >= 0 && x < data.across.names.length && y < data.up.names.length) {
      const found = at.get(`${x} ${y}`);
      if (found !== undefined) {
        picked = found;
        show(found);
        return;
      }
      x += move[0];
      y += move[1];
    }
  });
  const again = async () => {
    await drawCurves();
    await show(current);
  };
  $("measure").addEventListener("change", again);
  $("linear").addEventListener("change", again);
  // The cell where the lanes differ most in what became of them, one with grokking, the fullest.
  const interest = (i) =>
    4000 * data.cells.counts[i].filter(Boolean).length +
    2000 * members[i].some((lane) => data.lanes.grokking[lane] !== null) + members[i].length;
  await show(cells.reduce((best, { i }) => (interest(i) > interest(best) ? i : best), 0));

  // A network -------------------------------------------------------------------------------

  const watch = async () => {
    if (!data.networks.length) return;
    const sharp = (canvas) => {
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = false;
      return context;
    };
    const paint = (canvas, width, height, colour) => {
      const small = new OffscreenCanvas(width, height);
      const image = new ImageData(width, height);
      for (let i = 0; i < width * height; i++) image.data.set(colour(i), 4 * i);
      small.getContext("2d").putImageData(image, 0, 0);
      const context = sharp(canvas);
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.drawImage(small, 0, 0, canvas.width, canvas.height);
      return context;
    };
    const RIGHT = [0, 103, 165, 255], WRONG = [240, 200, 145, 255], NONE = [255, 255, 255, 255];
    const darker = ([r, g, b, a]) => [0.55 * r, 0.55 * g, 0.55 * b, a];
    const own = await draw("own", curveSpec("accuracy"), none);
    let network, unpacked, timer = null;

    const isRight = (frame, i) => {
      const start = frame * Math.ceil(network.size ** 2 / 8);
      return (unpacked.right[start + (i >> 3)] >> (7 - (i & 7))) & 1;
    };
    const drawTable = (frame) => {
      const size = network.size;
      const dots = size <= 120;
      const canvas = $("table");
      const context = paint(canvas, size, size, (i) => {
        if (unpacked.train[i] === 255) return NONE;
        const colour = isRight(frame, i) ? RIGHT : WRONG;
        return unpacked.train[i] && !dots ? darker(colour) : colour;
      });
      if (!dots) return;
      const side = canvas.width / size;
      context.fillStyle = "rgba(0, 0, 0, 0.75)";
      for (let i = 0; i < size * size; i++) {
        if (unpacked.train[i] !== 1) continue;
        const [x, y] = [(i % size) * side, Math.floor(i / size) * side];
        context.fillRect(x + 0.3 * side, y + 0.3 * side, 0.4 * side, 0.4 * side);
      }
    };
    const drawHeat = (frame) => {
      const { neurons, bins } = network;
      const start = frame * neurons * bins;
      const canvas = $("heat");
      const context = paint(canvas, bins, neurons, (i) => {
        const s = unpacked.heat[start + i] / 255;
        return [255 - 255 * s, 255 - 225 * s, 255 - 175 * s, 255];
      });
      context.strokeStyle = "#b8c0c8";
      context.strokeRect(0.5, 0.5, canvas.width - 1, canvas.height - 1);
    };
    const drawCircle = (k, frame) => {
      const canvas = $("circles").children[k].querySelector("canvas");
      const context = canvas.getContext("2d");
      const size = network.residues, middle = canvas.width / 2;
      const start = 2 * frame * size;
      const values = Array.from({ length: 2 * size }, (_, i) => unpacked.circles[k](start + i));
      const spread = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / size) || 1;
      const scale = (0.72 * middle) / spread;
      const place = (n) => [middle + scale * values[2 * n], middle - scale * values[2 * n + 1]];
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.strokeStyle = "rgba(0, 103, 165, 0.45)";
      context.beginPath();
      for (const n of network.order[k]) context.lineTo(...place(n));
      context.closePath();
      context.stroke();
      for (let n = 0; n < size; n++) {
        context.fillStyle = n ? "#0067a5" : "#d55e00";
        context.beginPath();
        context.arc(...place(n), n ? 3.2 : 5.5, 0, 2 * Math.PI);
        context.fill();
      }
      const power = network.power[frame][k];
      canvas.nextElementSibling.textContent =
        `frequency ${network.frequencies[k]}: ${shown(100 * power, 2)} % of the power`;
    };
    const show = (frame) => {
      const [train, test] = network.accuracy[frame];
      const step = network.steps[frame];
      const percent = (x) => (x === null ? "none" : `${(100 * x).toFixed(1)} %`);
      $("at").textContent =
        `step ${whole(step)}: training ${percent(train)}, test ${percent(test)}`;
      drawTable(frame);
      if (unpacked.heat) {
        drawHeat(frame);
        network.frequencies.forEach((_, k) => drawCircle(k, frame));
      }
      return update(own, { cursor: [{ step }] });
    };
    const choose = (number) => {
      network = data.networks[number];
      unpacked = { right: bytes(network.right), train: bytes(network.train) };
      $("frame").max = network.steps.length - 1;
      $("circles").replaceChildren();
      $("spectra").hidden = !network.heat;
      if (network.heat) {
        unpacked.heat = bytes(network.heat);
        unpacked.circles = network.circles.map(floats);
        const axis = network.axis ? ` over the ${network.axis}` : "";
        $("neurons").textContent =
          `Spectra of the ${network.neurons} largest of ${network.width} neurons${axis}`;
        $("bins").textContent = network.bins;
        for (const _ of network.frequencies) {
          const figure = document.createElement("figure");
          const canvas = document.createElement("canvas");
          canvas.width = canvas.height = 320;
          figure.append(canvas, document.createElement("figcaption"));
          $("circles").append(figure);
        }
        $("circled").textContent =
          "Dots are the residues, as the neurons see the first operand, on the plane of a frequency " +
          "of the last network; the line joins those that follow each other on its circle, and 0 is " +
          "orange. A network that uses the frequency has them on a circle. Every picture is " +
          "scaled to its dots.";
      } else {
        $("circled").textContent =
          "Spectra and circles are drawn for QuadraticMLP, MLP, LSTM and Transformer.";
      }
      update(own, {
        curves: network.steps.flatMap((step, i) =>
          ["training", "test"].map((kind, k) => ({
            lane: kind, name: laneName(network.lane), kind, step, value: network.accuracy[i][k],
            outcome: outcomes[data.lanes.outcome[network.lane]][0],
          }))
        ).filter((row) => row.value !== null),
      });
      $("frame").value = network.steps.length - 1;
      return show(network.steps.length - 1);
    };
    data.networks.forEach(({ lane }, i) => {
      const outcome = outcomes[data.lanes.outcome[lane]][0];
      $("network").append(new Option(`${laneName(lane)} (${outcome})`, i));
    });
    $("network").addEventListener("change", () => choose(Number($("network").value)));
    $("frame").addEventListener("input", () => show(Number($("frame").value)));
    const stop = () => {
      clearInterval(timer);
      timer = null;
      $("play").textContent = "Play";
    };
    $("play").addEventListener("click", () => {
      if (timer) return stop();
      const last = Number($("frame").max);
      if (Number($("frame").value) === last) {
        $("frame").value = 0;
        show(0);
      }
      $("play").textContent = "Pause";
      timer = setInterval(() => {
        const next = Number($("frame").value) + 1;
        if (next > last) return stop();
        $("frame").value = next;
        show(next);
      }, 120);
    });
    $("table").addEventListener("pointermove", (event) => {
      const box = $("table").getBoundingClientRect();
      const size = network.size;
      const [m, n] = [
        Math.floor((size * (event.clientX - box.left)) / box.width),
        Math.floor((size * (event.clientY - box.top)) / box.height),
      ];
      if (m < 0 || n < 0 || m >= size || n >= size) return;
      const i = n * size + m;
      const frame = Number($("frame").value);
      $("pointed").textContent =
        unpacked.train[i] === 255
          ? `first operand ${n}, second ${m}: not in the table`
          : `first operand ${n}, second ${m}: ${isRight(frame, i) ? "right" : "wrong"}, ` +
            `${unpacked.train[i] ? "a training row" : "a test row"}`;
    });
    await choose(0);
  };
  await watch();
  document.body.dataset.ready = "yes";
})();
