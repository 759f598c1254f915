export const words = {
  // The page
  "header.claim": "A portrait that moves, speaks and follows you.",
  "header.nav": "Service",
  "header.api": "API",
  "header.language": "Language",
  "panel.label": "What moves it",

  // Stage
  "stage.label": "Portrait",

  // Pose
  "pose.tab": "Pose",

  // Speech
  "speech.tab": "Speech",

  // Follow
  "follow.tab": "Follow",

  // Jobs

  // Portraits and files

  // History
  "history.label": "Earlier results",

  // Key
  "signin.open": "API key",

  // Errors
};
