// What the page knows, in one place. Parts watch what they show, and change it by `set`.

const values = {
  portrait: null, // {file: Blob, id: string | null (once it is kept by the service), url (of what can be shown), name}
  tab: "pose", // "pose", "speech" or "follow"
  space: null, // the renderer's motion space with its controls, of GET v1/controls
  controls: {}, // name -> value of those that are not neutral
  options: {}, // of jobs, as set in "more": paste_back, size, format, seed, …
  speech: null, // what the tab "Speech" would have it say, as fields of a job
  job: null, // the job on the stage, as the API shows it
  busy: false, // a job is being sent or worked on
  live: "off", // "off", "waiting" or "on"
  canLive: true, // live pictures can be had, as far as is known
  unseen: false, // the camera of a live session sees no face
  undo: 0, // steps of the pose that can be taken back
  redo: 0, // and forth again
};
const watchers = [];

export const state = {
  get: (name) => values[name],

  // Change some values. Whoever watches one that is another now is told, once.
  set(changes) {
    const changed = Object.keys(changes).filter((name) => values[name] !== changes[name]);
    Object.assign(values, changes);
    for (const { names, tell } of watchers) {
      if (changed.some((name) => names.includes(name))) tell(values);
    }
  },

  // Be told whenever one of these values changes, and at once.
  watch(names, tell) {
    watchers.push({ names, tell });
    tell(values);
  },
};
