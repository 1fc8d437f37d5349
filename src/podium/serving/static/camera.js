// A photo: by this machine's camera in a window of its own, or by the phone's camera program.

export async function takePhoto(fallback) {
  // Browsers give a page the camera only on this very machine or over https.
  const phone = window.matchMedia("(pointer: coarse)").matches;
  if (phone || !navigator.mediaDevices?.getUserMedia) {
    fallback.click();
    return null;
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } } });
  } catch {
    fallback.click(); // no camera, or none allowed: a file will do
    return null;
  }
  const dialog = document.querySelector("#camera");
  const video = document.querySelector("#video");
  try {
    video.srcObject = stream;
    dialog.showModal();
    await video.play();
    return (await decided(dialog)) ? await still(video) : null;
  } finally {
    stream.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    if (dialog.open) dialog.close();
  }
}

function decided(dialog) {
  return new Promise((done) => {
    dialog.querySelector("#shoot").onclick = () => done(true);
    dialog.querySelector("#cancel").onclick = () => done(false);
    dialog.onclose = () => done(false); // the escape key
  });
}

async function still(video) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  return blob && new File([blob], "photo.jpg", { type: blob.type });
}
